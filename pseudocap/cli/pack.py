"""Pack labels or caption rows and their clips into WebDataset tars: `pseudocap pack LABELS --out SHARDS`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help="the --out of a `pseudocap label`, or caption rows (.jsonl)")
    add_option(parser, "--out", Path, "SHARDS", "the folder of tars to write", required=True)
    add_option(parser, "--videos", str, "DIR", "where the videos lie now, if they have moved")
    parser.add_argument(
        "--format", choices=["video", "frames"], default="video", help="clips as MP4, or the labelled frame as JPEG"
    )
    add_option(parser, "--short-side", int, "PX", "scale, and so encode all clips anew")
    add_option(parser, "--shard-size", 1000, "N", "samples in a tar")
    add_flag(parser, "--with-verdicts", "also what the filters object to")
    add_option(parser, "--min-confidence", float, "SCORE", "leave less certain labels out")
    add_option(parser, "--workers", 2, "N", "processes that cut")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    require_at_least(args, workers=0, short_side=1)

    from pseudocap.cli.progress import progress_of
    from pseudocap.label.cut import Cutting
    from pseudocap.label.pack import ClipPacking, pack

    packing = ClipPacking(
        cutting=Cutting(form=args.format, short_side=args.short_side),
        shard_size=args.shard_size,
        verdicts=args.with_verdicts,
        min_confidence=args.min_confidence,
    )
    with progress_of("packing", "clips") as progress:
        result = pack(args.labels, args.out, packing, root=args.videos, workers=args.workers, progress=progress)
    if args.json:
        print(json.dumps({"out": str(args.out), **asdict(result)}))
    else:
        kinds = ", ".join(f"{count:,} {how}" for how, count in result.cuts.items()) or "all were there"
        print(
            f"{args.out}: {result.tars:,} tars, {result.samples:,} new samples ({kinds}), {len(result.failed):,} failed"
        )
        for name, reason in list(result.failed.items())[:5]:
            print(f"failed: {name}: {reason}")
    return 1 if result.failed else 0
