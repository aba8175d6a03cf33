"""Train captioners and compare them side by side: `pseudocap bench regimes` and `ablation NAME`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import ZOO, add_build, command, folders, show_result
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.errors import ConfigError, InputError, nearest
from pseudocap.regimes.table import REGIMES, UNTRAINED
from pseudocap.tolerance import Tolerance

if TYPE_CHECKING:
    from pseudocap.zoo.recipe import ZooRecipe

ROWS = (*REGIMES, UNTRAINED)
COUNTS = "10,100,1000"
MINING = "mining"  # the ablation that has a build of its own, over the networks of the package
ABLATIONS = ("gate-init", "gate-kind", "beta2", "crop", "attention", "fusion", "mixture", "losses", MINING)
VALOR_ABLATIONS = ("modality-groups", "av-fusion", "mga-mgc", "modalities")  # of VALOR's tables
KNOWN = ", ".join((*ABLATIONS, *VALOR_ABLATIONS))
OF_REAL_CORPORA = (
    *("annotations", "videos", "allow_partial", "decoder", "encoder", "images", "clips", "asr", "pretrained"),
    *("max_failure_rate", "steps", "batch_size", "lr"),
)


def _add_regimes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=("toy", "msrvtt", "msvd"), default="toy", help="the corpus (toy)")
    add_option(parser, "--seeds", int, "N", "trainings of each regime, seeds 0 to N-1 (3)")
    parser.add_argument(
        "--regimes", default=",".join(ROWS), metavar="R,R", help=f"of {', '.join(ROWS)}; none is not pre-trained (all)"
    )
    add_option(parser, "--captions", str, "N,N", f"also fine-tune on so many captions; 0 leaves this out ({COUNTS})")
    add_build(parser, out="build/bench/regimes")
    add_option(parser, "--annotations", Path, "DIR", "of MSR-VTT or MSVD")
    add_option(parser, "--videos", Path, "DIR", "of MSR-VTT or MSVD")
    add_flag(parser, "--allow-partial", "go on where a corpus's counts are wrong")
    add_option(parser, "--max-failure-rate", float, "R", "stop where more videos to learn from fail or miss (0.1)")
    add_option(parser, "--decoder", str, "D", "an OPT: a directory or a repo (real corpora)")
    add_option(parser, "--encoder", str, "E", "an encoder of video: a directory or a repo (real corpora)")
    add_option(parser, "--images", Path, "DIR", "tars or memories of images with alt text")
    add_option(parser, "--clips", Path, "DIR", "tars or memories of pseudolabelled clips")
    add_option(parser, "--asr", Path, "DIR", "tars or memories of the same clips with transcripts")
    parser.add_argument(
        "--pretrained",
        action="append",
        default=[],
        metavar="R=N",
        help="a captioner that a regime has pre-trained already; {seed} stands for the seed",
    )
    add_option(parser, "--steps", int, "N", "of pre-training; mixed-ext has ten times as many")
    add_option(parser, "--batch-size", int, "N", "of pre-training, videos")
    add_option(parser, "--lr", float, "X", "of pre-training")


def _regimes(args: argparse.Namespace) -> int:
    regimes = _chosen(args.regimes, ROWS, "--regimes")
    require_at_least(args, seeds=1)
    seeds = range(args.seeds or (2 if args.smoke else 3))
    counts = _counts(args.captions or ("3" if args.smoke else COUNTS))
    if args.data == "toy" and (
        given := [option for option in OF_REAL_CORPORA if getattr(args, option) not in (None, False, [])]
    ):
        words = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        raise ConfigError(
            f"--data toy has the zoo's films, networks and settings; {words} is for --data msrvtt and msvd"
        )
    if args.max_failure_rate is not None:
        Tolerance(args.max_failure_rate, option="--max-failure-rate")
    build, out = folders(args, "regimes")

    from pseudocap.bench.claims.real import Files, real_bench
    from pseudocap.bench.claims.regimes import run as run_bench
    from pseudocap.bench.claims.report import results_table, write_results
    from pseudocap.bench.claims.results import gather
    from pseudocap.bench.claims.toy import toy_bench
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.stages import Workshop

    quieten(many_trainings=True)
    recipe = _recipe(args)
    options = {"regimes": regimes, "seeds": seeds, "counts": counts, "workers": args.workers}
    with stages_of("bench") as stages:
        shop = Workshop(root=build.resolve(), main=main, progress=stages.draw)
        if args.data == "toy":
            bench = toy_bench(shop, recipe, **options)
        else:
            paths = {name: value for name in Files.__slots__ if (value := getattr(args, name, None)) is not None}
            files = Files(corpus=args.data, started=_started(args.pretrained), **paths)
            bench = real_bench(shop, recipe.regime, files, **options)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, log=stages.log)
    results = gather(bench, command=command(args))
    show_result(args, results, results_table(results), write_results(out, results))
    return 0


def _recipe(args: argparse.Namespace) -> ZooRecipe:
    from pseudocap.zoo.recipe import FULL_RECIPE, SMOKE_RECIPE

    recipe = SMOKE_RECIPE if args.smoke else FULL_RECIPE
    given = {"steps": args.steps, "batch": args.batch_size, "lr": args.lr}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if not value > 0:
            raise InputError(f"--{'batch-size' if name == 'batch' else name} must be above 0, not {value}")
    return replace(recipe, regime=replace(recipe.regime, **given))


def _started(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        regime, equals, source = text.partition("=")
        if not equals or not source or regime not in REGIMES:
            raise InputError(f"--pretrained {text}: write REGIME=CHECKPOINT with a regime of {', '.join(REGIMES)}")
        here = Path(source.replace("{seed}", "0")).exists()
        found[regime] = str(Path(source).resolve()) if here else source
    return found


def _chosen(text: str, known: Sequence[str], option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"{option}: there is no {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    if not names:
        raise InputError(f"{option} names nothing; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


def _counts(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"--captions {text}: write whole numbers, as in --captions {COUNTS}") from error
    if min(numbers) < 0:
        raise InputError(f"--captions {text}: a fine-tuning cannot have {min(numbers)} captions")
    return sorted({number for number in numbers if number})


def _add_ablation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=KNOWN)
    add_option(parser, "--seeds", int, "N", "trainings of each setting, seeds 0 to N-1 (3)")
    add_option(parser, "--steps", int, "N", "of pre-training (half the zoo's; of VALOR's tables 800)")
    add_build(parser, out="build/bench/NAME", build=f"{ZOO}; of mining, which needs no zoo, build/mined")


def _ablation(args: argparse.Namespace) -> int:
    known = (*ABLATIONS, *VALOR_ABLATIONS)
    if args.name not in known:
        raise InputError(f"there is no ablation {args.name!r}{nearest(args.name, known)}; there are {KNOWN}")
    require_at_least(args, seeds=1, steps=1)
    if args.name in VALOR_ABLATIONS:
        return _valor_ablation(args)
    seeds = range(args.seeds or (1 if args.smoke else 3))
    mining = args.name == MINING
    build, out = folders(args, args.name, stands_on="mined" if mining else "zoo")

    from pseudocap.bench.claims.ablation_report import ablation_table, gather_ablation, write_ablation
    from pseudocap.bench.claims.ablations import ablation_bench, short
    from pseudocap.bench.claims.mining_ablation import mined_figures, mining_ablation, mining_ablation_bench
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
        if mining:
            plan = short(mined.plan, args.steps)
            bench, arms = mining_ablation_bench(shop, recipe, mined, plan, seeds=seeds, workers=args.workers)
        else:
            plan = short(recipe.regime, args.steps)
            bench, arms = ablation_bench(args.name, shop, recipe, plan, seeds=seeds, workers=args.workers)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, log=stages.log)
    ablation, beside = (mining_ablation(mined), mined_figures(bench, arms)) if mining else (None, [])
    result = gather_ablation(args.name, bench, arms, command=command(args), ablation=ablation, beside=beside)
    show_result(args, result, ablation_table(result), write_ablation(out, result))
    return 0


def _valor_ablation(args: argparse.Namespace) -> int:
    seeds = range(args.seeds or (1 if args.smoke else 3))
    build, out = folders(args, args.name)

    from pseudocap.bench.claims.valor import gather_valor, valor_stages, valor_table, write_valor
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.stages import Workshop
    from pseudocap.zoo.recipe import FULL_RECIPE, SMOKE_RECIPE
    from pseudocap.zoo.toy_valor import ValorPlan

    quieten(many_trainings=True)
    recipe = SMOKE_RECIPE if args.smoke else FULL_RECIPE
    steps = args.steps or (2 if args.smoke else ValorPlan().steps)
    plan = ValorPlan(steps=steps, warmup=max(1, steps // 10))
    with stages_of("bench") as drawn:
        shop = Workshop(root=build.resolve(), main=main, progress=drawn.draw, log=drawn.log)
        stages, names = valor_stages(args.name, shop, recipe, plan, seeds=seeds, workers=args.workers)
        build.mkdir(parents=True, exist_ok=True)
        shop.run(stages)
    result = gather_valor(args.name, shop.reports, names, plan, seeds=seeds, command=command(args))
    show_result(args, result, valor_table(result), write_valor(out, result))
    return 0


REGIMES_BENCH = Subcommand(
    summary="the regimes side by side: pre-trained, fine-tuned, scored, with intervals over seeds",
    add=_add_regimes,
    run=_regimes,
    example="pseudocap bench regimes --data toy --seeds 3",
)
ABLATION = Subcommand(
    summary="one of the papers' side findings as a grid of settings, on the toy world",
    add=_add_ablation,
    run=_ablation,
    example="pseudocap bench ablation gate-init",
)
