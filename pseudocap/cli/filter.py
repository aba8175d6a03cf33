"""Mark clips that look like an earlier one: `pseudocap filter LABELS --memories MEMORIES --out DIR`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import refuse_file
from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pseudocap.data.memories.source import MemorySource
    from pseudocap.types import Pseudolabel

EPILOG = """MEMORIES are those of the labels' clips: `pseudocap encode LABELS --encoder E --out MEMORIES`.

Rows are kept: that of a near-duplicate has the verdict near-duplicate:VIDEO#START-END, which names the clip that it
looks like. Clips that other filters object to, or that have no memory, are not compared. docs/labels.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help="the --out of a finished `pseudocap label`")
    add_option(parser, "--memories", Path, "MEMORIES", "the clips as an encoder sees them", required=True)
    add_option(parser, "--out", Path, "DIR", "the folder of labels to write", required=True)
    add_option(parser, "--threshold", 0.85, "X", "cosine from which on clips are near-duplicates")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    refuse_file("--out", args.out)
    if not 0 < args.threshold <= 1:
        raise ConfigError(f"--threshold must be above 0 and at most 1, not {args.threshold:g}")
    if args.out.resolve() == Path(args.labels).resolve():
        raise ConfigError(f"--out {args.out} is LABELS itself; name another folder")

    from pseudocap.label.near_duplicates import NEAR, MarkNearDuplicates, clip_id, compared, near_duplicates
    from pseudocap.label.rewrite import Earlier, rewrite
    from pseudocap.label.schema import label_files, read_rows

    earlier = Earlier.of(args.labels)
    clips = compared(row for path in label_files(args.labels) for row in read_rows(path))

    from pseudocap.cli.progress import progress_of
    from pseudocap.data.memories.pooled import pooled_vectors
    from pseudocap.data.memories.source import MemorySource

    source = MemorySource(args.memories)
    found = [
        (clip_id(clip), number)
        for clip in clips
        if (number := _number(source, clip, earlier.plan.sources.root)) is not None
    ]
    if not found:
        raise DataError(
            f"{args.memories} has a memory of no clip of {args.labels}; make them with `pseudocap encode {args.labels}`"
        )
    with progress_of("comparing", "clips") as progress:
        of = near_duplicates(pooled_vectors(source, [number for _, number in found]), args.threshold, progress=progress)
    names = {name: found[number][0] for (name, _), number in zip(found, of, strict=True) if number >= 0}
    settings = {"filter": NEAR, "threshold": args.threshold, "memories": source.identity}
    stats = rewrite(args.labels, args.out, MarkNearDuplicates(of=names, settings=settings))
    _report(args, stats, compared=len(found), near=len(names), without=len(clips) - len(found))
    return 0


def _number(source: MemorySource, clip: Pseudolabel, root: str) -> int | None:
    """Find the memory of a clip, by its name below the root or by its path."""
    from pseudocap.label.schema import locate
    from pseudocap.rows import stretch_id
    from pseudocap.types import CaptionedVideo

    for video in (clip.clip.source, locate(clip.clip.source, root)):
        name = stretch_id(video, clip.clip.start, clip.clip.end)
        row = CaptionedVideo(id=name, video=video, captions=(), split="", start=clip.clip.start, end=clip.clip.end)
        if (number := source.of_row(row)) is not None:
            return number
    return None


def _report(args: argparse.Namespace, stats: Any, *, compared: int, near: int, without: int) -> None:
    counts = {"compared": compared, "near_duplicates": near, "without_memory": without}
    if args.json:
        print(json.dumps({"out": str(args.out), **counts, **stats}))
        return
    print(
        f"{args.out}: {near:,} of {compared:,} clips look like an earlier one; {without:,} have no memory and were not "
        f"compared; {stats['kept']:,} of {stats['clips']:,} rows are without objection"
    )
