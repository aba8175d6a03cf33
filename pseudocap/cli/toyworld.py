"""Write the embedded world to disk, or draw one of its films: `pseudocap toyworld write DIR`, `toyworld show SEED`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import PATIENCE, stages_of
from pseudocap.cli.tables import print_table
from pseudocap.errors import ConfigError

CORPORA = ("clips", "stills", "talking", "msrvtt", "msvd", "own", "valor", "qa")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["write", "show"], help="write the corpora, or show one film")
    parser.add_argument("target", metavar="DIR|SEED", help="write: the folder; show: the seed of the world")
    add_option(parser, "--seed", 0, None, "write: the seed of the world")
    parser.add_argument(
        "--scale", choices=["tiny", "small", "full"], default="tiny", help="write: how much (default tiny, seconds)"
    )
    add_option(parser, "--size", int, None, "pixels of a side (default: write 64, show 96)")
    add_option(parser, "--workers", int, "N", "write: processes; default: one per core")
    parser.add_argument(
        "--corpus",
        action="append",
        choices=CORPORA,
        help="write: only this corpus, may be given again (default: all); show: the film's (default msrvtt)",
    )
    parser.add_argument(
        "--languages",
        type=lambda text: text.split(","),
        default=[],
        metavar="es,de",
        help="caption films in these too; write: captions.es.jsonl, ...; show: the truth and five captions",
    )
    add_option(parser, "--film", 0, "N", "show: which film of the corpus")
    parser.add_argument("--out", type=Path, default=Path("toyworld-show"), help="show: folder of the pictures")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    return _write(args) if args.action == "write" else _show(args)


def _write(args: argparse.Namespace) -> int:
    from pseudocap.toyworld.write import write_world

    with stages_of("", "films", patience=PATIENCE) as drawing:
        manifest = write_world(
            args.target,
            scale=args.scale,
            corpora=args.corpus,
            size=64 if args.size is None else args.size,
            seed=args.seed,
            workers=args.workers,
            languages=args.languages,
            progress=drawing.draw,
        )
    if args.json:
        print(json.dumps(manifest, indent=2))
    else:
        _print_table(args.target, manifest)
    return 0


def _show(args: argparse.Namespace) -> int:
    from pseudocap.toyworld.corpora import recipe_of
    from pseudocap.toyworld.show import show

    if not args.target.isdecimal() or int(args.target) >= 2**63:
        raise ConfigError(f"show takes the seed of a world, a number from 0 to 2**63, not {args.target!r}")
    if len(args.corpus or ()) > 1:
        raise ConfigError(f"show takes one --corpus, not {len(args.corpus)}")
    require_at_least(args, film=0)
    size = 96 if args.size is None else args.size
    if size % 2 or not 32 <= size <= 256:
        raise ConfigError(f"--size is {size} and must be an even number from 32 to 256")
    corpus = args.corpus[0] if args.corpus else "msrvtt"
    split = next(iter(recipe_of(corpus).films["full"]))
    film = show(
        args.out,
        corpus=corpus,
        split=split,
        index=args.film,
        seed=int(args.target),
        size=size,
        languages=args.languages,
    )
    if args.json:
        print(json.dumps(asdict(film), indent=2, default=str))
        return 0
    for heading, lines in (
        ("scene", film.scene),
        ("the plain truth", (film.truth,)),
        ("references", film.references),
        ("transcript", film.transcript),
        ("sounds", film.sounds),
        *film.languages.items(),
    ):
        print(f"{heading}:", *(f"  {line}" for line in lines), "", sep="\n")
    print(f"contact sheet: {film.sheet}\nGIF:           {film.gif}")
    return 0


def _print_table(folder: str, manifest: dict[str, Any]) -> None:
    title = f"{folder}: scale {manifest['scale']}, {manifest['size']} pixels, seed {manifest['seed']}"
    rows = []
    for name, corpus in manifest["corpora"].items():
        films = " / ".join(f"{count:,}" for count in corpus["films"].values())
        rows.append((name, films, f"{corpus['bytes'] / 1e6:.1f}", corpus["about"]))
    print_table(title, ("corpus", "films", "MB", "what"), rows, left=("corpus", "what"))
    print(f"written in {manifest['seconds_of_work']} s; toyworld.json holds the hashes of all annotations")
    if not manifest["sounds"]:
        print("its films have no sound: the folder was begun before they had any; write another one to hear them")
