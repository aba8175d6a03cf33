"""Compare what captions teach by where they come from, mined ones among them: `pseudocap bench mined`."""

from __future__ import annotations

import argparse

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import add_build, command, folders, show_result
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_option
from pseudocap.cli.quiet import quieten

BUILD = "where everything is made, from the networks of the package; goes on where it was stopped (build/mined)"


def _add_mined(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--seeds", int, "N", "trainings of each kind, seeds 0 to N-1 (3)")
    add_build(parser, out="build/bench/mined", build=BUILD)


def _mined(args: argparse.Namespace) -> int:
    require_at_least(args, seeds=1)
    seeds = range(args.seeds or (2 if args.smoke else 3))
    build, out = folders(args, "mined", stands_on="mined")

    from pseudocap.bench.claims.mined import mined_bench
    from pseudocap.bench.claims.mined_report import gather_mined, mined_table, write_mined
    from pseudocap.bench.claims.mining_ground import MINED_RECIPE, MINED_SMOKE_RECIPE
    from pseudocap.bench.claims.regimes import run as run_bench
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.stages import Workshop
    from pseudocap.zoo.recipe import FULL_RECIPE, SMOKE_RECIPE

    quieten(many_trainings=True)
    recipe, mined = (SMOKE_RECIPE, MINED_SMOKE_RECIPE) if args.smoke else (FULL_RECIPE, MINED_RECIPE)
    with stages_of("bench") as stages:
        shop = Workshop(root=build.resolve(), main=main, progress=stages.draw)
        bench = mined_bench(shop, recipe, mined, seeds=seeds, workers=args.workers)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, log=stages.log)
    results = gather_mined(bench, command=command(args))
    show_result(args, results, mined_table(results), write_mined(out, results))
    return 0


MINED = Subcommand(
    summary="what mined captions teach, beside pseudolabels, transcripts and stills: captioning and search",
    add=_add_mined,
    run=_mined,
    example="pseudocap bench mined --seeds 3",
)
