"""Race exact and approximate search, ours beside faiss: `pseudocap bench search`."""

from __future__ import annotations

import argparse
import json

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import log
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option


def _add_search(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--clips", 100_000, "N", "vectors of an index")
    add_option(parser, "--dim", 256, "D", "values of a vector")
    add_option(parser, "--queries", 200, "N", "searches")
    add_option(parser, "--seed", 0, None, "of the vectors")
    add_flag(parser, "--json", "print the results as JSON")


def _search(args: argparse.Namespace) -> int:
    require_at_least(args, clips=1000, dim=16, queries=1)
    from dataclasses import asdict

    from pseudocap.bench.speed.search import race_search, search_table
    from pseudocap.search.table import require_lancedb

    require_lancedb()
    results = race_search(args.clips, args.dim, queries=args.queries, seed=args.seed, log=log)
    print(json.dumps([asdict(each) for each in results], indent=1) if args.json else search_table(results))
    return 0


SEARCH = Subcommand(
    summary="search clips exactly and by IVF-PQ, beside faiss in the same run: time and recall@10",
    add=_add_search,
    run=_search,
    example="pseudocap bench search --clips 1000000",
)
