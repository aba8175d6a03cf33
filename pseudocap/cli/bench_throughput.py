"""Race every part against its named alternative, and fail where one falls below its floor: `pseudocap bench
throughput`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import log
from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import ConfigError, nearest


def _add_throughput(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("races", nargs="*", metavar="RACE", help="only these (default: all but the long ones)")
    add_flag(parser, "--full", "the long ones too")
    add_option(parser, "--rounds", int, "N", "how often everyone runs (default: 3, or as long races)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/bench/throughput"),
        metavar="DIR",
        help="each race's result is kept here, and not run again by the same code (build/bench/throughput)",
    )
    add_flag(parser, "--json", "print the results as JSON")


def _throughput(args: argparse.Namespace) -> int:
    require_at_least(args, rounds=1)
    refuse_file("--out", args.out)
    from dataclasses import asdict

    from pseudocap.bench.speed.races import RACES
    from pseudocap.bench.speed.throughput import race_table, run_races

    known = {race.name: race for race in RACES}
    for name in args.races:
        if name not in known:
            raise ConfigError(f"{name} is no race{nearest(name, known)}; there are {', '.join(known)}")
    chosen = [known[name] for name in args.races] or [race for race in RACES if args.full or not race.full]
    results = run_races(chosen, args.out, rounds=args.rounds, log=log)
    if args.json:
        print(json.dumps([asdict(each) | {"holds": each.holds} for each in results], indent=1))
    else:
        print("\n".join(race_table(results)))
    low = [each.name for each in results if not each.holds]
    if low:
        log(f"below the floor: {', '.join(low)}")
    return 1 if low else 0


THROUGHPUT = Subcommand(
    summary="how many times as fast as named alternatives everything is; fails below the floors",
    add=_add_throughput,
    run=_throughput,
    example="pseudocap bench throughput decode-12 train-memories",
)
