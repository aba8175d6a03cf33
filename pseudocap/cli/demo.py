"""Caption real pictures and video, and a drawn film by every regime, as a table and a page: `pseudocap demo [FILE...]`.

`--from-nothing` is the check of the network that needs no weights (from_nothing.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli import from_nothing
from pseudocap.cli.media_files import media_files
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_CAPTIONER, add_checkpoints_option, find_captioner
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.explain.target import check_target
from pseudocap.regimes.table import REGIMES
from pseudocap.zoo.packaged import OPTIONAL, packaged_media

if TYPE_CHECKING:
    from pseudocap.zoo.demo import DemoFilm, Demonstration

SHIPPED = tuple(f"toy-{regime}" for regime in REGIMES)
MOST = 12  # films of a page
NOTE = """Pseudocap writes captions for pictures and videos. Each section below is one file, with each \
model's caption of it.

Click a word of a caption to see where the model looked when it chose that word. The square picture is the frame with \
the most attention; orange marks the regions with more attention than average; the bars show the attention over the \
frames of the video. A white cross or a grey bar marks an attention sink: it gets the same attention at every word, so \
it says nothing about this one. Attention shows where the model looked, not why it chose a word.

Next: `pseudocap demo FILE` makes this page for your own files, `pseudocap caption FILE` writes captions as text or \
subtitles, and `pseudocap finetune` trains a model on your captions."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="videos, images or folders (default: real ones of packages that are installed)",
    )
    add_option(parser, "--films", int, "N", "toy films alone, so many")
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="N",
        help=f"a row, a directory or a repo, again for more ({DEFAULT_CAPTIONER}; of a drawn film five toy regimes)",
    )
    add_checkpoints_option(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_option(parser, "--out", Path, "FILE", "the page (demo.html)")
    add_flag(parser, "--json", "print the result as JSON")
    add_flag(
        parser,
        "--from-nothing",
        "teach a tiny captioner which way a square moves: a check of the complete network, without weights",
    )
    add_option(parser, "--steps", int, "N", "from nothing: optimiser steps (300)")
    add_option(parser, "--seed", int, "N", "from nothing: of films, weights and batches (0)")


def run(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    if args.from_nothing:
        return _from_nothing(args)
    if args.steps is not None or args.seed is not None:
        raise ConfigError("--steps and --seed belong to --from-nothing; the films of the demo have a seed of their own")
    if args.files and args.films is not None:
        raise ConfigError("--films counts toy films; leave it out where files are named")
    if args.films is not None and not 1 <= args.films <= MOST:
        raise ConfigError(f"--films must be 1 to {MOST}, not {args.films}")
    files = tuple(dict.fromkeys(file for word in args.files for file in media_files(word)))
    if len(files) > MOST:
        raise ConfigError(f"{len(files)} films are too many for a page; name {MOST} at most")
    page = args.out or Path("demo.html")
    check_target(page)
    acts = _acts(args, files, _captioners(args))

    result = _demonstration(args, acts)
    from pseudocap.explain.page import write_page

    title = "Pseudocap demo: captions, and where the model looked for each word"
    write_page(page, result.films, result.captioners, title=title, note=NOTE)
    seconds = time.perf_counter() - started
    if args.json:
        print(json.dumps(_document(result, page, seconds), ensure_ascii=False, indent=1))
        return 0
    _print_tables(result)
    print(f"{seconds:.0f} s on {os.cpu_count()} cores. Open {page} to see where the model looked for each word.")
    return 0


def _from_nothing(args: argparse.Namespace) -> int:
    for name in ("films", "checkpoint", "checkpoints"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} has no meaning with --from-nothing, which needs no weights")
    if args.files:
        raise ConfigError("--from-nothing draws its own films; leave the files out")
    return from_nothing.teach_and_examine(
        steps=300 if args.steps is None else args.steps,
        seed=0 if args.seed is None else args.seed,
        out=args.out,
        as_json=args.json,
    )


def _captioners(args: argparse.Namespace) -> dict[str, bool]:
    """Return by each captioner's name whether it is a toy; all are looked for before anything is drawn."""
    names = args.checkpoint or ((DEFAULT_CAPTIONER,) if args.films is None else ()) + SHIPPED
    if not args.checkpoint:
        from pseudocap.hub.manifest import all_rows

        rows = all_rows(args.checkpoints)
        if missing := [name for name in names if name not in rows]:
            raise CheckpointError(
                f"no weights are here by the name of {', '.join(missing)}; name captioners of your own with "
                "--checkpoint, or see a tiny one learn with `pseudocap demo --from-nothing`"
            )
    from pseudocap.hub.checkpoint import read_config
    from pseudocap.hub.toys import is_toy

    return {name: is_toy(read_config(find_captioner(name, args.checkpoints).folder)) for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Hold which captioners caption which files and how many drawn films."""

    names: tuple[str, ...]
    files: tuple[Path, ...] = ()
    drawn: int = 0

    @property
    def films(self) -> int:
        return len(self.files) + self.drawn


def _acts(args: argparse.Namespace, files: tuple[Path, ...], captioners: dict[str, bool]) -> list[Act]:
    """Return real pictures and video for real captioners, then one drawn film for toy ones; or what was asked for."""
    from pseudocap.hub.toys import NOTICE

    toys = tuple(name for name, toy in captioners.items() if toy)
    if toys:
        print(f"warning: {'each of ' if toys[1:] else ''}{', '.join(toys)} {NOTICE}", file=sys.stderr)
    if args.films is not None:
        return [Act(names=tuple(captioners), drawn=args.films)]
    if files and args.checkpoint:
        return [Act(names=tuple(captioners), files=files)]
    real = tuple(name for name, toy in captioners.items() if not toy)
    acts = [Act(names=real, files=files or _packaged())] if real else []
    acts += [Act(names=toys, drawn=1)] if toys else []
    if not (acts := [each for each in acts if each.films]):
        raise InputError("there is no picture and no video to caption: name files, or drawn films with --films 1")
    return acts


def _packaged() -> tuple[Path, ...]:
    media = packaged_media()
    if not any(media[package] for package in OPTIONAL):
        print(
            "neither gradio nor scikit-image is installed, which carry real pictures and video: "
            "pip install 'pseudocap[app]', or name files of your own",
            file=sys.stderr,
        )
    return tuple(path for paths in media.values() for path in paths)


def _demonstration(args: argparse.Namespace, acts: Sequence[Act]) -> Demonstration:
    from pseudocap.cli.progress import stages_of

    with tempfile.TemporaryDirectory() as scratch, stages_of("demo") as stages:
        stages.draw("the libraries", 0, 0)  # which right after an installation takes longest
        import torch

        from pseudocap.zoo.demo import demonstrate, joined, own_film, toy_films

        quieten()
        films: list[tuple[DemoFilm, ...]] = []
        for act in acts:
            drawn = (*map(own_film, act.files), *toy_films(Path(scratch), act.drawn))
            films.append(drawn)
            stages.draw("films", sum(map(len, films)), sum(each.films for each in acts))
        parts: list[Demonstration] = []
        done, total = 0, sum(act.films * len(act.names) for act in acts)

        def report(before: int, now: int, _: int) -> None:
            stages.draw("captions", before + now, total)

        for act, chosen in zip(acts, films, strict=True):
            if act.names == SHIPPED:
                torch.set_num_threads(1)  # toy networks: a second thread only waits for the first
            part = demonstrate(
                chosen,
                act.names,
                checkpoints=args.checkpoints,
                device=args.device,
                progress=partial(report, done),
            )
            parts.append(part)
            done += act.films * len(act.names)
        return joined(parts)


def _print_tables(result: Demonstration) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for film in result.films:
        table = Table(title=escape(film.title), title_justify="left")
        for heading in ("", "caption", *(["checked against the scene"] if film.truth else []), "s"):
            table.add_column(heading, justify="right" if heading == "s" else "left")
        if film.truth:
            table.add_row("truth", escape(film.truth), "", "", end_section=True)
        for each in film.captions:
            verdict = [escape(each.verdict)] if film.truth else []
            table.add_row(each.captioner, escape(each.explanation.caption), *verdict, f"{each.seconds:.2f}")
        Console().print(table)


def _document(result: Demonstration, page: Path, seconds: float) -> dict[str, Any]:
    films = [
        {
            "film": film.title,
            "truth": film.truth,
            "captions": [
                {
                    "checkpoint": each.captioner,
                    "caption": each.explanation.caption,
                    "verdict": each.verdict,
                    "seconds": round(each.seconds, 3),
                }
                for each in film.captions
            ],
        }
        for film in result.films
    ]
    return {"page": str(page), "seconds": round(seconds, 1), "films": films}
