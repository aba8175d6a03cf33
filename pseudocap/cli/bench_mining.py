"""Race exact matching of seeds and frames, ours beside faiss: `pseudocap bench mining`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import log
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import ConfigError


def _add_mining(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--seeds", 100_000, "N", "vectors of pictures")
    add_option(parser, "--frames", 1_000_000, "N", "vectors of frames")
    add_option(parser, "--dim", 256, "D", "values of a vector")
    add_option(parser, "--threads", os.cpu_count() or 1, "N", "of both ways")
    add_option(parser, "--seed", 0, None, "of the vectors")
    add_flag(parser, "--reckon", "print what 150 million videos take, by arithmetic alone, and measure nothing")
    add_flag(parser, "--json", "print the results as JSON")


def _mining(args: argparse.Namespace) -> int:
    require_at_least(args, seeds=10, frames=100, dim=2, threads=1)
    if not args.reckon and importlib.util.find_spec("faiss") is None:
        raise ConfigError("the race needs faiss: pip install faiss-cpu")
    from dataclasses import asdict

    from pseudocap.bench.speed.mining import Reckoning, matching_table, race_matching
    from pseudocap.bench.tables import table

    if args.reckon:
        rows = Reckoning(dim=args.dim).rows()
        print(json.dumps(dict(rows), indent=1) if args.json else table(("reckoned, not measured", ""), rows))
        return 0
    results = race_matching(args.seeds, args.frames, args.dim, seed=args.seed, threads=args.threads, log=log)
    if args.json:
        print(json.dumps([asdict(each) for each in results], indent=1))
    else:
        print(matching_table(results, args.seeds, args.frames, args.dim, threads=args.threads))
    return 0


MINING = Subcommand(
    summary="match seeds with frames exactly, beside faiss: time, processor time, peak memory",
    add=_add_mining,
    run=_mining,
    example="pseudocap bench mining --seeds 100000 --frames 1000000",
)
