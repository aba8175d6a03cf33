"""Run the benchmark's cells on the toy world: they stand on a zoo's build."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from pseudocap.bench.claims.cells import Ground
from pseudocap.bench.claims.duplicates import duplicates_stage
from pseudocap.bench.claims.regimes import Bench, planned
from pseudocap.regimes.table import REGIMES, UNTRAINED
from pseudocap.stages import Stage, Workshop
from pseudocap.zoo.baselines import ToyFilm, hallucinations, held_out_films
from pseudocap.zoo.build import data_words, stages
from pseudocap.zoo.recipe import ZooRecipe

ROWS = (*REGIMES, UNTRAINED)
CAPTIONS = (10, 100, 1000)


def toy_bench(
    shop: Workshop,
    recipe: ZooRecipe,
    *,
    regimes: Sequence[str] = ROWS,
    seeds: Sequence[int] = (0, 1, 2),
    counts: Sequence[int] = CAPTIONS,
    workers: int = 2,
) -> Bench:
    ground, made_first = toy_ground(shop, recipe, regimes=regimes if recipe.seed in seeds else (), workers=workers)
    streams = (shop.root / "world" / "stills", shop.root / "labels" / "clips")
    check = duplicates_stage(shop, streams, lambda: [film.path for film in ground.films()], needs=("world", "labels"))
    return Bench(
        shop=shop,
        ground=ground,
        made_first=[*made_first, check],
        cells=planned(regimes, seeds, counts, recipe.regime),
        corpus="toy-msrvtt",
        duplicates=check.name,
    )


def toy_ground(
    shop: Workshop, recipe: ZooRecipe, *, regimes: Sequence[str], workers: int = 2
) -> tuple[Ground, list[Stage]]:
    """Take those of the zoo's own stages that cells stand on; of `regimes` its own trained and tuned captioners too."""
    everything = {stage.name: stage for stage in stages(shop, recipe, workers)}
    own = {f"{part}-{regime}" for part in ("trained", "tuned") for regime in regimes if regime in REGIMES}
    needed = own | {"writer", "watcher", "memories-msrvtt", "views"}
    needed |= {need for regime in REGIMES for need in everything[f"trained-{regime}"].needs}
    for name, stage in reversed(everything.items()):  # what a stage needs stands before it
        needed |= set(stage.needs) if name in needed else set()
    wanted = [stage for name, stage in everything.items() if name in needed]

    @cache
    def films() -> list[ToyFilm]:
        return held_out_films(shop.root, recipe.seed)

    ground = Ground(
        decoder="writer",
        encoder="watcher",
        captions="captions.jsonl",
        memories="memories-msrvtt",
        views="views",
        films=films,
        judge=lambda captions: hallucinations(captions, films()),
        streams={regime: data_words(regime) for regime in REGIMES},
        needs={
            **{regime: tuple(everything[f"trained-{regime}"].needs) for regime in REGIMES},
            UNTRAINED: ("writer", "watcher"),
        },
        own=frozenset((regime, recipe.seed) for regime in regimes if regime in REGIMES),
    )
    return ground, wanted
