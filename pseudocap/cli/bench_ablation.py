"""`pseudocap bench ablation NAME`: one of the papers' side findings as a grid of settings."""

from __future__ import annotations

import argparse

from pseudocap.cli.actions import Action
from pseudocap.cli.bench_options import add_build, command, folders, positive, quieten, show
from pseudocap.errors import InputError, nearest

ABLATIONS = ("gate-init", "gate-kind", "beta2", "crop", "fusion", "mixture", "losses")
KNOWN = ", ".join(ABLATIONS)


def _add_ablation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=KNOWN)
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each setting, seeds 0 to N-1 (3)")
    parser.add_argument("--steps", type=int, metavar="N", help="of pre-training (half the zoo's)")
    add_build(parser, out="build/bench/NAME")


def _ablation(args: argparse.Namespace) -> int:
    if args.name not in ABLATIONS:
        raise InputError(f"there is no ablation {args.name!r}{nearest(args.name, ABLATIONS)}; there are {KNOWN}")
    seeds = range(positive(args.seeds, "--seeds", 1 if args.smoke else 3))
    steps = None if args.steps is None else positive(args.steps, "--steps", 1)
    build, out = folders(args, args.name)

    from pseudocap.bench.ablation_report import ablation_table, gather_ablation, write_ablation
    from pseudocap.bench.ablations import ablation_bench, short
    from pseudocap.bench.regimes import run as run_bench
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.zoo.recipe import FULL, SMOKE
    from pseudocap.zoo.stages import Workshop

    quieten()
    recipe = SMOKE if args.smoke else FULL
    with stages_of("bench") as shown:
        shop = Workshop(root=build.resolve(), main=main, progress=shown.draw)
        plan = short(recipe.regime, steps)
        bench, arms = ablation_bench(args.name, shop, recipe, plan, seeds=seeds, workers=args.workers)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, tell=shown.say)
    result = gather_ablation(args.name, bench, arms, command=command(args))
    show(args, result, ablation_table(result), write_ablation(out, result))
    return 0


ABLATION = Action(
    summary="one of the papers' side findings as a grid of settings, on the toy world",
    add=_add_ablation,
    run=_ablation,
    example="pseudocap bench ablation gate-init",
)
