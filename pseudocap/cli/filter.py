"""Mark clips that look like an earlier one: `pseudocap filter LABELS --encoder E --out DIR`."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import refuse_file
from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import ConfigError, DataError
from pseudocap.rows import SUFFIXES, stretch_id
from pseudocap.types import CaptionedVideo

if TYPE_CHECKING:
    from pseudocap.data.memories.source import MemorySource

EPILOG = """Clips are compared as an encoder sees them: --encoder E encodes them, into MEMORIES where both are given,
which then stay; --memories alone takes those of `pseudocap encode LABELS --encoder E --out MEMORIES`.

Rows are kept: that of a near-duplicate has the verdict near-duplicate:VIDEO#START-END, which names the clip that it
looks like. Clips that other filters object to, or that have no memory, are not compared. docs/labels.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help="the --out of a finished `pseudocap label`, or caption rows")
    add_option(parser, "--encoder", str, "E", "encode the clips by it, as `pseudocap encode` does")
    add_option(parser, "--memories", Path, "MEMORIES", "the clips as an encoder sees them")
    add_option(parser, "--videos", Path, "DIR", "with --encoder: where the videos of rows lie")
    add_option(parser, "--out", Path, "DIR", "the folder of labels to write; of rows, a .jsonl file", required=True)
    add_option(parser, "--threshold", 0.85, "X", "cosine from which on clips are near-duplicates")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    _refuse_mistakes(args)
    from pseudocap.label.row_labels import row_files

    if files := row_files(args.labels):
        return _filter_rows(args, files)
    if args.out.suffix.lower() in SUFFIXES:
        raise ConfigError(f"--out {args.out} is a file, and filtered labels are a folder; name one")
    return _filter_labels(args)


def _refuse_mistakes(args: argparse.Namespace) -> None:
    if not 0 < args.threshold <= 1:
        raise ConfigError(f"--threshold must be above 0 and at most 1, not {args.threshold:g}")
    if args.out.resolve() == Path(args.labels).resolve():
        raise ConfigError(f"--out {args.out} is LABELS itself; give it another name")
    if args.encoder is None and args.memories is None:
        raise ConfigError("name --encoder, which clips are compared by, or --memories of the clips")
    if args.videos is not None and args.encoder is None:
        raise ConfigError("--videos is for --encoder: memories have their clips")


def _filter_labels(args: argparse.Namespace) -> int:
    from pseudocap.label.near_duplicates import NEAR, MarkNearDuplicates, clip_id, compared
    from pseudocap.label.rewrite import Earlier, rewrite
    from pseudocap.label.schema import label_files, locate, read_rows

    refuse_file("--out", args.out)
    root = Earlier.of(args.labels).plan.sources.root
    clips = {}
    for label in compared(row for path in label_files(args.labels) for row in read_rows(path)):
        videos, times = (label.clip.source, locate(label.clip.source, root)), (label.clip.start, label.clip.end)
        clips[clip_id(label)] = [_named(stretch_id(video, *times), video, *times) for video in videos]
    of, memories = _likest(args, clips)
    settings = {"filter": NEAR, "threshold": args.threshold, "memories": memories}
    stats = rewrite(args.labels, args.out, MarkNearDuplicates(of=of, settings=settings))
    _report(args, stats, of, without=len(clips) - len(of))
    return 0


def _filter_rows(args: argparse.Namespace, files: tuple[Path, ...]) -> int:
    from pseudocap.label.near_duplicates import compared_rows, kind_of, marked
    from pseudocap.rows import read_rows, write_rows

    if args.out.suffix.lower() != ".jsonl" or args.out.is_dir():
        raise ConfigError(f"--out {args.out} must be a file of caption rows, such as filtered.jsonl")
    rows = [row for path in files for row in read_rows(path)]
    clips = {name: [_named(name, row.video, row.start, row.end)] for name, row in compared_rows(rows).items()}
    of, _ = _likest(args, clips)
    rows = [replace(row, verdicts=marked(row.id, row.verdicts, of)) for row in rows]
    write_rows(args.out, (row.line for row in rows))
    counts = Counter(kind_of(verdict) for row in rows for verdict in row.verdicts)
    verdicts = {name: {"clips": count, "share": count / len(rows)} for name, count in counts.items()}
    stats = {"clips": len(rows), "kept": sum(row.usable for row in rows), "verdicts": verdicts}
    _report(args, stats, of, without=len(clips) - len(of))
    return 0


def _named(name: str, video: str, start: float | None, end: float | None) -> CaptionedVideo:
    return CaptionedVideo(id=name, video=video, captions=(), split="", start=start, end=end)


@contextmanager
def _memories(args: argparse.Namespace) -> Iterator[MemorySource]:
    """Open the memories that are given, or make them; those that nobody named are removed."""
    if args.encoder is None:
        from pseudocap.data.memories.source import MemorySource

        yield MemorySource(args.memories)
        return
    from pseudocap.cli import encode

    parser = argparse.ArgumentParser()
    encode.add_arguments(parser)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{args.out.name}-", dir=args.out.parent) as scratch:
        memories = args.memories or Path(scratch) / "memories"
        where = [] if args.videos is None else ["--videos", str(args.videos)]
        words = ["--encoder", args.encoder, "--out", str(memories), *where]
        encode.encode_source(parser.parse_args([*words, "--", str(args.labels)]))
        from pseudocap.data.memories.source import MemorySource

        yield MemorySource(memories)


def _likest(args: argparse.Namespace, clips: Mapping[str, list[CaptionedVideo]]) -> tuple[dict[str, str], str]:
    """Map each clip that has a memory, under one of its names, to the kept clip that it looks like, or to nothing; and
    return the identity of the memories."""
    if not clips:
        raise DataError(f"{args.labels} has no clip to compare: all failed, or have a verdict of another filter")
    from pseudocap.cli.progress import progress_of
    from pseudocap.data.memories.pooled import pooled_vectors
    from pseudocap.label.near_duplicates import near_duplicates

    with _memories(args) as source:
        numbers = {}
        for name, rows in clips.items():
            if (number := next((n for row in rows if (n := source.of_row(row)) is not None), None)) is not None:
                numbers[name] = number
        if not numbers:
            raise DataError(
                f"{args.memories or args.encoder} has a memory of no clip of {args.labels}; "
                f"make them with `pseudocap encode {args.labels}`"
            )
        names = list(numbers)
        with progress_of("comparing", "clips") as progress:
            of = near_duplicates(pooled_vectors(source, list(numbers.values())), args.threshold, progress=progress)
        likest = {name: names[number] if number >= 0 else "" for name, number in zip(names, of, strict=True)}
        return likest, source.identity


def _report(args: argparse.Namespace, stats: Any, of: Mapping[str, str], *, without: int) -> None:
    near = sum(map(bool, of.values()))
    counts = {"compared": len(of), "near_duplicates": near, "without_memory": without}
    if args.json:
        print(json.dumps({"out": str(args.out), **counts, **stats}))
        return
    print(
        f"{args.out}: {near:,} of {len(of):,} clips look like an earlier one; {without:,} have no memory and were not "
        f"compared; {stats['kept']:,} of {stats['clips']:,} rows are without a verdict"
    )
