"""Caption films by every shipped regime, as a table and as a page that explains it: `pseudocap demo [FILE...]`.

`--from-nothing` is the check of the network that needs no weights (from_nothing.py).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli import from_nothing
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option, find_captioner
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.explain.target import check_target
from pseudocap.regimes.table import REGIMES

if TYPE_CHECKING:
    from pseudocap.zoo.demo import DemoFilm, Demonstration

SHIPPED = tuple(f"toy-{regime}" for regime in REGIMES)
MOST = 12  # films of a page
NOTE = (
    "Click a word, or point at it: the picture is the frame that it looked at most while it was chosen, the heat where "
    "in space it looked, the bars how it looked over time. Attention tells where the adapters looked, not why a word "
    "was chosen."
)
TOY_NOTE = "These are toy films that no captioner was trained on, and toy captioners: they show the method. "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="videos or images (default: films of the toy world)")
    parser.add_argument("--films", type=int, metavar="N", help="how many toy films (3)")
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="N",
        help="a row, a directory or a repo, may be given again (default: the five shipped regimes)",
    )
    add_checkpoints_option(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (demo.html)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--from-nothing",
        action="store_true",
        help="teach a tiny captioner which way a square moves: a check of the complete network, without weights",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="from nothing: optimiser steps (300)")
    parser.add_argument("--seed", type=int, metavar="N", help="from nothing: of films, weights and batches (0)")


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
    if len(args.files) > MOST:
        raise ConfigError(f"{len(args.files)} films are too many for a page; name {MOST} at most")
    for file in args.files:
        if not Path(file).is_file():
            raise InputError(f"{file}: there is no such file")
    page = args.out or Path("demo.html")
    check_target(page)
    names = _captioners(args.checkpoint, args.checkpoints)

    result = _demonstration(args, names)
    from pseudocap.explain.page import write_page

    note = NOTE if args.files else TOY_NOTE + NOTE
    write_page(
        page, result.films, result.captioners, title="Pseudocap: what was said, and where each word looked", note=note
    )
    seconds = time.perf_counter() - started
    if args.json:
        print(json.dumps(_document(result, page, seconds), ensure_ascii=False, indent=1))
        return 0
    _print_tables(result)
    print(f"{seconds:.0f} s on {os.cpu_count()} cores. The page, with the films and what each word looked at: {page}")
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


def _captioners(given: list[str] | None, checkpoints: str | None) -> list[str]:
    """Return the captioners' names, each once; the five shipped ones are looked for before anything is drawn."""
    if given:
        for name in given:
            find_captioner(name, checkpoints)
        return list(dict.fromkeys(given))
    from pseudocap.hub.manifest import all_rows

    rows = all_rows(checkpoints)
    if missing := [name for name in SHIPPED if name not in rows]:
        raise CheckpointError(
            f"no weights are here by the name of {', '.join(missing)}; name captioners of your own with --checkpoint, "
            "or see a tiny one learn with `pseudocap demo --from-nothing`"
        )
    return list(SHIPPED)


def _demonstration(args: argparse.Namespace, names: list[str]) -> Demonstration:
    from pseudocap.cli.progress import stages_of

    with tempfile.TemporaryDirectory() as scratch, stages_of("demo") as stages:
        stages.draw("the libraries", 0, 0)  # which right after an installation takes longest
        import torch

        from pseudocap.zoo.demo import demonstrate, own_film, toy_films

        quieten()
        if tuple(names) == SHIPPED:
            torch.set_num_threads(1)  # toy networks: a second thread only waits for the first
        total = len(args.files) or (3 if args.films is None else args.films)
        drawn = (own_film(Path(file)) for file in args.files) if args.files else toy_films(Path(scratch), total)
        films: list[DemoFilm] = []
        for film in drawn:
            films.append(film)
            stages.draw("films", len(films), total)
        return demonstrate(
            films,
            names,
            checkpoints=args.checkpoints,
            device=args.device,
            progress=lambda done, of: stages.draw("captions", done, of),
        )


def _print_tables(result: Demonstration) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for film in result.films:
        table = Table(title=escape(film.title), title_justify="left")
        for heading in ("", "caption", *(["held against the scene"] if film.truth else []), "s"):
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
