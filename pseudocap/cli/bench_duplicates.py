"""Find the test videos that were, very nearly, learned from: `pseudocap bench duplicates A B`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import InputError


def _add_duplicates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("test", type=Path, metavar="A", help="test videos: a file or a folder")
    parser.add_argument(
        "seen", type=Path, nargs="+", metavar="B", help="videos, images, or tars that were learned from"
    )
    add_option(parser, "--threshold", 0.99, "X", "correlation of frames")
    add_flag(parser, "--json", "print the result as JSON")


def _duplicates(args: argparse.Namespace) -> int:
    from pseudocap.bench.claims.duplicates import files_of, find_duplicates
    from pseudocap.cli.progress import progress_of

    if not args.test.exists():
        raise InputError(f"{args.test}: there is no such file or folder; name the test videos")
    with progress_of("comparing", "samples") as progress:
        found = find_duplicates(files_of(args.test), args.seen, threshold=args.threshold, progress=progress)
    if args.json:
        print(json.dumps(found.document(), indent=1))
        return 0
    for pair in found.duplicates:
        print(f"{pair.alike:.4f}  {pair.test}  {pair.seen}")
    nearest = found.nearest[0]
    print(
        f"{len(found.duplicates):,} of {len(found.nearest):,} test videos have a near-duplicate (from "
        f"{found.threshold:g} on) among the {found.compared:,} samples; the most similar pair: "
        f"{nearest.test}, {nearest.seen} ({nearest.alike:.4f})"
    )
    for name in found.unreadable[:5]:
        print(f"not compared: {name}")
    return 0


DUPLICATES = Subcommand(
    summary="which test videos are near-duplicates of what was learned from",
    add=_add_duplicates,
    run=_duplicates,
    example="pseudocap bench duplicates msrvtt/test/ laion/ pseudolabels/",
)
