"""Check which videos of a corpus are there and can be decoded, split by split: `pseudocap data verify CORPUS ...`; or
count how often its captions name sounds: `pseudocap data density CORPUS ...`.

Exit code 0 means that all are, 1 that some are missing or undecodable, 2 that something must be fixed first.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.tables import FIRST, print_table
from pseudocap.errors import ConfigError, DataError
from pseudocap.types import MEDIA_EXTENSIONS, VIDEO_EXTENSIONS, SplitCoverage

if TYPE_CHECKING:
    from pseudocap.data.corpora.base import Corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=["verify", "density"], help="check the files, or count the sounds in the captions"
    )
    from pseudocap.data.corpora.named import CORPORA

    parser.add_argument("corpus", choices=CORPORA, help="whose files they are")
    parser.add_argument(
        "--annotations", type=Path, nargs="+", required=True, metavar="PATH", help="their folder, or the files"
    )
    add_option(parser, "--videos", Path, "DIR", "where the videos lie (own: beside the captions)")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="take train, val or test from this list of ids (.txt, or .csv with video_id); NAME=none leaves it out",
    )
    add_flag(parser, "--allow-partial", "go on where counts are wrong, and report it")
    add_flag(parser, "--allow-leak", "go on where test videos are trained on, and report it")
    add_option(parser, "--workers", int, "N", "processes that decode; default: one per core")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.corpus in ("own", "questions", "msvd", "msrvtt-1ka", "msrvtt-1ka-7k") and len(args.annotations) > 1:
        raise DataError(f"--annotations of {args.corpus} is one path, not {len(args.annotations)}")
    return _verify(args) if args.action == "verify" else _density(args)


def _verify(args: argparse.Namespace) -> int:
    from pseudocap.cli.progress import progress_of
    from pseudocap.data.corpora.named import OF_SOUND
    from pseudocap.data.verify import verify
    from pseudocap.data.videos import VideoFolder

    lists = _lists(args)
    media = MEDIA_EXTENSIONS if args.corpus in OF_SOUND else VIDEO_EXTENSIONS
    videos = VideoFolder(_videos(args), extensions=media)
    corpus = _read(args, lists)
    with progress_of("decoding", "videos") as progress:
        coverages = verify(corpus, videos, workers=args.workers, progress=progress)
    if args.json:
        found = [{"present": each.present, **asdict(each)} for each in coverages]
        print(json.dumps({**corpus.provenance(), "coverage": found}, indent=2))
    else:
        _print_table(corpus, coverages)
    return 1 if any(each.present < each.videos for each in coverages) else 0


def _density(args: argparse.Namespace) -> int:
    from pseudocap.metrics.audio import audio_concept_density

    for name in ("videos", "workers"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} is of `data verify`: `data density` reads captions alone; leave it out")
    corpus = _read(args, _lists(args))
    texts = {name: [text for row in corpus.split(name).rows for text in row.captions] for name in corpus.splits}
    counts = {name: audio_concept_density(captions) for name, captions in texts.items()}
    counts["all"] = audio_concept_density(text for captions in texts.values() for text in captions)
    if args.json:
        found = {name: {"density": each.density, **asdict(each)} for name, each in counts.items()}
        print(json.dumps({**corpus.provenance(), "density": found}, indent=2))
        return 0
    rows = [
        (
            *(name, f"{each.captions:,}", f"{each.words:,}", f"{each.mean_words:.1f}", f"{each.concepts:,}"),
            *(f"{each.density:.2f}", ", ".join(list(each.by_concept)[:FIRST])),
        )
        for name, each in counts.items()
    ]
    headings = ("split", "captions", "words", "mean", "concepts", "per 100 words", "the most frequent")
    print_table(f"{corpus.name}, sounds in its captions", headings, rows, left=("split", "the most frequent"))
    return 0


def _lists(args: argparse.Namespace) -> dict[str, Path | None]:
    return dict(_list_of(text) for text in args.split)


def _list_of(text: str) -> tuple[str, Path | None]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise DataError(f"--split {text}: write NAME=FILE, as in --split train=train_list.txt, or NAME=none")
    return name, None if path == "none" else Path(path)


def _videos(args: argparse.Namespace) -> Path:
    if args.videos is not None:
        return args.videos
    if args.corpus != "own":
        raise DataError(f"--videos is missing: the folder that holds the videos of {args.corpus}")
    source: Path = args.annotations[0]
    return source if source.is_dir() else source.parent


def _read(args: argparse.Namespace, lists: dict[str, Path | None]) -> Corpus:
    from pseudocap.data.corpora.named import OFFICIAL
    from pseudocap.data.corpora.own import read_own
    from pseudocap.data.corpora.splits import resplit

    read = OFFICIAL.get(args.corpus, partial(read_own, split="train"))  # as fine-tuning takes your own
    annotations = args.annotations if len(args.annotations) > 1 else args.annotations[0]
    corpus = read(annotations, allow_partial=args.allow_partial)
    return resplit(corpus, lists, allow_leak=args.allow_leak) if lists else corpus


def _print_table(corpus: Corpus, coverages: tuple[SplitCoverage, ...]) -> None:
    headings = ("split", "videos", "captions", "present", "missing", "undecodable", "ids")
    rows = []
    for each in coverages:
        captions = corpus.counts[each.split]["captions"]
        figures = (each.videos, captions, each.present, len(each.missing), len(each.undecodable))
        rows.append((each.split, *(f"{figure:,}" for figure in figures), corpus.split_hash(each.split)[:12]))
    print_table(f"{corpus.name}, content {corpus.content_hash[:12]}", headings, rows, left=("split", "ids"))
    for each in coverages:
        _print_some(f"{each.split}: missing", list(each.missing))
        _print_some(f"{each.split}: undecodable", [f"{name}: {why}" for name, why in each.undecodable.items()])
    for mismatch in corpus.mismatches:
        print(f"allowed: {mismatch.found:,} {mismatch.what}, expected {mismatch.expected:,}")


def _print_some(heading: str, names: list[str]) -> None:
    for name in names[:FIRST]:
        print(f"{heading}: {name}")
    if len(names) > FIRST:
        print(f"{heading}: and {len(names) - FIRST:,} more (--json lists all)")
