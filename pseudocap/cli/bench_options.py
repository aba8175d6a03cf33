"""Share options between the actions of `pseudocap bench`: where a benchmark is built, what was typed, log lines."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.options import add_flag, add_option

ZOO = "the zoo's build to stand on, made where it is missing (build/zoo)"


def add_build(parser: argparse.ArgumentParser, *, out: str, build: str = ZOO) -> None:
    add_option(parser, "--build", Path, "DIR", build)
    add_option(parser, "--out", Path, "DIR", f"where the result is written ({out})")
    add_flag(parser, "--smoke", "everything at a size that teaches nothing, in minutes")
    add_option(parser, "--workers", 2, "N", "processes that draw and decode")
    add_flag(parser, "--json", "print the result as JSON")


def folders(args: argparse.Namespace, name: str, *, stands_on: str = "zoo") -> tuple[Path, Path]:
    """Return the folder of the cells, which is build/STANDS_ON for the toy world, and that of the result."""
    smoke, data = "-smoke" if args.smoke else "", getattr(args, "data", "toy")
    whose = "" if data == "toy" else f"-{data}"
    build = args.build or Path("build") / (f"bench{whose}{smoke}" if whose else _toy_build(stands_on, smoke))
    out = args.out or Path("build/bench") / f"{name}{whose}{smoke}"
    for option, path in (("--build", build), ("--out", out)):
        refuse_file(option, path)
    require_at_least(args, workers=0)
    return build, out


def _toy_build(stands_on: str, smoke: str) -> str:
    return "smoke" if smoke and stands_on == "zoo" else f"{stands_on}{smoke}"


def command(args: argparse.Namespace) -> str:
    """Return what was typed, for the result: files by name, without where they lie on this machine."""
    words = ["pseudocap", "bench", args.action]
    for name, value in vars(args).items():
        if name in ("action", "json", "workers", "out", "build") or value in (None, False, []):
            continue
        option = () if name == "name" else (f"--{name.replace('_', '-')}",)
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [*option, *(_without_folder(str(each)) for each in values)]
    return shlex.join(words)


def _without_folder(word: str) -> str:
    """Return a file or folder of this machine by its name alone, also behind a `KIND=`."""
    before, equals, path = word.rpartition("=")
    local = path and (Path(path).exists() or "{seed}" in path)
    return f"{before}{equals}{Path(path).name}" if local else word


def log(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def show_result(
    args: argparse.Namespace, result: Mapping[str, Any], table: Iterable[str], made: Sequence[Path]
) -> None:
    """Print the result as a table, or as JSON; and which files hold it."""
    print(json.dumps(result, indent=1) if args.json else "\n".join(table))
    log(f"written: {', '.join(map(str, made))}")
