"""Ablate mining: from which similarity on, and for how long a clip (VideoCC, figure 3 and its supplement):
`pseudocap bench ablation mining`.

The arms mine the same films with the same stills, from vectors of frames that are there once; each is counted, held
against the scenes, and learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.ablations import Ablation, Arm
from pseudocap.bench.claims.cells import Cell
from pseudocap.bench.claims.mining_ground import (
    CODE,
    MinedRecipe,
    Report,
    draw_labels,
    encoding_stage,
    mining_ground,
    mining_stage,
    usable_labels,
)
from pseudocap.bench.claims.regimes import Bench
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.regimes.table import REGIMES, VIDEO_ONLY
from pseudocap.stages import Stage, Workshop
from pseudocap.types import Progress
from pseudocap.zoo.recipe import ZooRecipe

MINING = "mining"
REGIME = REGIMES[VIDEO_ONLY]


def mining_ablation(mined: MinedRecipe) -> Ablation:
    """Declare it: each threshold, then each span at the recipe's own threshold."""
    own = dict(zip(mined.mining[::2], mined.mining[1::2], strict=True))
    threshold, span = float(own["--threshold"]), int(own["--span"])
    settings = [*((each, span) for each in mined.thresholds), *((threshold, each) for each in mined.spans)]

    def arms(plan: TrainingPlan, size: int) -> list[Arm]:
        return [Arm(settings={"threshold": least, "span": length}, regime=VIDEO_ONLY) for least, length in settings]

    return Ablation(
        question="How alike must a picture and a frame be, and how long is the clip around the frame?",
        claimed="zero-shot retrieval is best from 0.6 on, with clips of 10 s; beyond 0.7 there are few matches",
        arms=arms,
        note=f"Of more than {mined.examples:,} pairs so many are drawn to learn from. Similarities are of another "
        "encoder than the paper's.",
    )


def mining_ablation_bench(
    shop: Workshop,
    recipe: ZooRecipe,
    mined: MinedRecipe,
    plan: TrainingPlan,
    *,
    seeds: Sequence[int],
    workers: int = 2,
) -> tuple[Bench, list[tuple[Arm, list[Cell]]]]:
    """Plan the ablation on the ground of `bench mined`, whose build it shares."""
    ground, made_first = mining_ground(shop, recipe, mined, workers=workers)
    arms = []
    for arm in mining_ablation(mined).arms(plan, recipe.size):
        made_first += _mining_stages(shop, recipe, mined, arm, workers)
        encoded = _stage("memories", arm)
        words = REGIME.data_words(dict.fromkeys(REGIME.streams, f"{encoded}/store"))
        variant = f"{MINING}-{arm.name}"
        cells = [
            Cell(regime=REGIME.name, seed=seed, plan=plan, variant=variant, training=words, needs=(encoded,))
            for seed in seeds
        ]
        arms.append((arm, cells))
    bench = Bench(
        shop=shop,
        ground=ground,
        made_first=made_first,
        cells=[cell for _, cells in arms for cell in cells],
        corpus="toy-msrvtt",
        duplicates=None,
        shipped=True,
    )
    return bench, arms


def _stage(part: str, arm: Arm) -> str:
    return f"cells/{part}-{MINING}-{arm.name}"


def _mining_stages(shop: Workshop, recipe: ZooRecipe, mined: MinedRecipe, arm: Arm, workers: int) -> list[Stage]:
    """List the mining of an arm, the pairs that are learned from, and their memories."""
    found, drawn, encoded = (_stage(part, arm) for part in ("mined", "drawn", "memories"))

    def draw(folder: Path, report: Progress) -> Report:
        labels = usable_labels(shop.folder(found) / "run")
        return {"pairs": len(draw_labels(labels, mined.examples, folder / "labels", seed=recipe.seed))}

    words = (*mined.mining, "--threshold", str(arm.settings["threshold"]), "--span", str(arm.settings["span"]))
    settings = {"code": CODE, "count": mined.examples, "seed": recipe.seed}
    return [
        mining_stage(shop, found, words, seed=recipe.seed, workers=workers, index="mined"),
        Stage(name=drawn, settings=settings, make=draw, needs=(found,)),
        encoding_stage(shop, encoded, (f"{encoded}/clips",), needs=(drawn,), workers=workers, packed=f"{drawn}/labels"),
    ]


def mined_figures(bench: Bench, arms: Sequence[tuple[Arm, Sequence[Cell]]]) -> list[dict[str, Any]]:
    """Return what each arm has mined, and how much of it is true."""
    reports = [bench.shop.reports[_stage("mined", arm)] for arm, _ in arms]
    return [
        {name: each[name] for name in ("pairs", "clips", "hours", "captions")}
        | {name: f"{each['truth'][name]:.1f} %" for name in ("correct", "names a thing that is not there")}
        for each in reports
    ]
