"""`pseudocap bench regimes`: every regime with every seed, pre-trained, fine-tuned, captioned, scored.

On the toy world the cells stand on a zoo's build (`toy_bench`), on a real corpus on files of the user's
(`pseudocap/bench/claims/real.py`). Cells are stages in the folder `cells` of the build: finished ones are kept, a
killed run goes on, and what the zoo itself has trained with its own seed is taken as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import UNTRAINED, Cell, Ground, stages_of
from pseudocap.bench.claims.duplicates import duplicates_stage
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError
from pseudocap.stages import DONE, Stage, Workshop
from pseudocap.zoo.baselines import HeldOut, held_out_films
from pseudocap.zoo.build import DATA, stages
from pseudocap.zoo.recipe import REGIMES, Recipe

ROWS = (*REGIMES, UNTRAINED)
CAPTIONS = (10, 100, 1000)
TRAIN = "pseudocap train "  # how the command begins by which a cell was pre-trained
CELLS = "cells/"  # where a benchmark's own stages lie in a build; what lies elsewhere is the zoo's
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is to be done: the ground with the stages that make it, the cells, and how the result is named."""

    shop: Workshop
    ground: Ground
    made_first: Sequence[Stage]
    cells: Sequence[Cell]
    corpus: str
    duplicates: str | None  # the stage that has counted them

    @property
    def on_a_zoo(self) -> bool:
        return self.corpus.startswith("toy")

    @property
    def stages(self) -> list[Stage]:
        return [*self.made_first, *stages_of(self.shop, self.ground, self.cells)]


def planned(regimes: Sequence[str], seeds: Sequence[int], counts: Sequence[int], recipe: Recipe) -> list[Cell]:
    """The table's cells first, seed by seed, so that a run that is stopped early has whole seeds; then the few
    captions."""
    plain = [Cell(regime=regime, seed=seed, plan=recipe.regime) for seed in seeds for regime in regimes]
    return [*plain, *(replace(cell, captions=count) for count in counts for cell in plain)]


def toy_bench(
    shop: Workshop,
    recipe: Recipe,
    *,
    regimes: Sequence[str] = ROWS,
    seeds: Sequence[int] = (0, 1, 2),
    counts: Sequence[int] = CAPTIONS,
    workers: int = 2,
) -> Bench:
    ground, made_first = toy_ground(shop, recipe, regimes=regimes if recipe.seed in seeds else (), workers=workers)
    streams = (shop.root / "world" / "stills", shop.root / "labels" / "clips")
    watched = duplicates_stage(shop, streams, lambda: [film.path for film in ground.films()], needs=("world", "labels"))
    return Bench(
        shop=shop,
        ground=ground,
        made_first=[*made_first, watched],
        cells=planned(regimes, seeds, counts, recipe),
        corpus="toy-msrvtt",
        duplicates=watched.name,
    )


def toy_ground(
    shop: Workshop, recipe: Recipe, *, regimes: Sequence[str], workers: int = 2
) -> tuple[Ground, list[Stage]]:
    """The zoo's own stages, without what it ships; of `regimes` its own trained and tuned captioners too."""
    everything = {stage.name: stage for stage in stages(shop, recipe, workers)}
    left_out = {f"{part}-{regime}" for part in ("trained", "tuned") for regime in REGIMES if regime not in regimes}
    wanted = [stage for name, stage in everything.items() if name not in left_out | {"zoo"}]

    @cache
    def films() -> list[HeldOut]:
        return held_out_films(shop.root, recipe.seed)

    ground = Ground(
        decoder="writer",
        encoder="watcher",
        captions="captions.jsonl",
        memories="memories-msrvtt",
        views="views",
        films=films,
        streams={
            regime: tuple(f"{word}/store" if word.startswith("memories") else word for word in DATA[regime])
            for regime in REGIMES
        },
        needs={
            **{regime: tuple(everything[f"trained-{regime}"].needs) for regime in REGIMES},
            UNTRAINED: ("writer", "watcher"),
        },
        own=frozenset((regime, recipe.seed) for regime in regimes if regime in REGIMES),
    )
    return ground, wanted


def run(bench: Bench, *, tell: Tell) -> None:
    """Make what is missing. Nothing of the zoo and no pre-training that was made by other settings is thrown away."""
    states = bench.shop.states(bench.stages)
    others = [name for name, state in states.items() if state == "other"]
    _refuse_to_lose(bench, others)
    if others:
        tell(f"{', '.join(others)}: made by other settings or of other videos, so anew")
    missing = [name for name, state in states.items() if state != "finished" and not name.startswith(CELLS)]
    if missing and bench.on_a_zoo:
        tell(f"{bench.shop.root} lacks {', '.join(missing)}: made first, as `pseudocap zoo build` does")
    waiting = [name for name, state in states.items() if state != "finished"]
    bench.shop.run([_announced(stage, bench.shop, waiting, tell) for stage in bench.stages])


def _refuse_to_lose(bench: Bench, others: Sequence[str]) -> None:
    root = bench.shop.root
    zoos = [name for name in others if bench.on_a_zoo and not name.startswith(CELLS)]
    if zoos:
        raise ConfigError(
            f"{root}: {', '.join(zoos)} {'was' if len(zoos) == 1 else 'were'} made by other settings than this "
            f"version's (--smoke has its own); bring it up to date with `pseudocap zoo build --out {root}`, or name "
            "another --build"
        )
    trained = [name for name in others if _pretrained_here(root / name)]
    if trained:
        raise ConfigError(
            f"{root}: {', '.join(trained)} {'was' if len(trained) == 1 else 'were'} pre-trained by other settings, "
            "from other files or by another version; give the same, name another --build, or delete what shall be "
            "trained anew"
        )


def _pretrained_here(folder: Path) -> bool:
    """Whether a stage holds what may have taken days, also in part, and not new adapters or a captioner's name."""
    done = folder / DONE
    if not done.is_file():
        return (folder / "run" / "checkpoints").is_dir()
    return str(json.loads(done.read_text(encoding="utf-8")).get("command", "")).startswith(TRAIN)


def _announced(stage: Stage, shop: Workshop, waiting: Sequence[str], tell: Tell) -> Stage:
    """Says where we are and how long it may take before a stage is made."""
    if stage.name not in waiting:
        return stage

    def make(folder: Path, report: Callable[[int, int], None]) -> Mapping[str, Any]:
        here = list(waiting).index(stage.name)
        tell(f"{stage.name}: {here + 1} of {len(waiting)} to make, {time_left(shop, waiting[here:])}")
        return stage.make(folder, report)

    return replace(stage, make=make)


def time_left(shop: Workshop, waiting: Sequence[str]) -> str:
    """By what equal stages of other seeds took, else by others of the same part; in words."""
    took = _seconds(shop.root)
    known = [_expected(name, took) for name in waiting]
    told = sum(seconds for seconds in known if seconds is not None)
    unknown = known.count(None)
    if unknown == len(known):
        return "time left not known yet"
    minutes, more = max(1, round(told / 60)), f" and {unknown} of unknown length" if unknown else ""
    return f"about {minutes // 60} h {minutes % 60:02} min left{more}"


def _seconds(root: Path) -> dict[str, list[float]]:
    """Of all finished stages below a build, by what they are without their seed."""
    took: dict[str, list[float]] = {}
    for path in (*root.glob(f"*/{DONE}"), *root.glob(f"cells/*/{DONE}")):
        told = json.loads(path.read_text(encoding="utf-8"))
        took.setdefault(_seedless(path.parent.name), []).append(float(told.get("seconds", 0.0)))
    return took


def _seedless(name: str) -> str:
    return re.sub(r"-s\d+$", "", name.removeprefix("cells/"))


def _expected(name: str, took: Mapping[str, Sequence[float]]) -> float | None:
    kind = _seedless(name)
    part = kind.partition("-")[0]
    alike = took.get(kind) or [each for other, times in took.items() for each in times if other.startswith(f"{part}-")]
    return sum(alike) / len(alike) if alike else None


def provenance(bench: Bench) -> dict[str, Any]:
    """The corpus with the hashes of its splits, and how much of the test could be watched."""
    told = bench.shop.told.get("corpus")  # of a real corpus
    if told is not None:
        known = {name: told[name] for name in ("coverage", "to learn from")}
        return {**told["provenance"], "corpus": bench.corpus, **known}
    corpus = read_own(bench.shop.root / bench.ground.captions, split="train")
    return corpus.provenance() | {"corpus": bench.corpus, "coverage": "all test videos"}
