"""Pre-train, fine-tune, caption and score every regime with every seed: `pseudocap bench regimes`.

On the toy world the cells stand on a zoo's build (`pseudocap/bench/claims/toy.py`), on a real corpus on files of the
user's (`pseudocap/bench/claims/real.py`). Cells are stages in the folder `cells` of the build: finished ones are kept,
a killed run goes on, and what the zoo itself has trained with its own seed is taken as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import Cell, Ground, cell_stages
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.stages import DONE, Stage, Workshop
from pseudocap.types import Progress

TRAIN = "pseudocap train "  # how the command begins by which a cell was pre-trained
CELLS = "cells/"  # where a benchmark's own stages lie in a build; what lies elsewhere is the zoo's


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Hold what is to be done: the ground with the stages that make it, the cells, and how the result is named.
    `shipped` says that it stands on the networks of the package, and not on a zoo's build."""

    shop: Workshop
    ground: Ground
    made_first: Sequence[Stage]
    cells: Sequence[Cell]
    corpus: str
    duplicates: str | None  # the stage that has counted them
    shipped: bool = False

    @property
    def on_a_zoo(self) -> bool:
        return self.corpus.startswith("toy") and not self.shipped

    @property
    def stages(self) -> list[Stage]:
        return [*self.made_first, *cell_stages(self.shop, self.ground, self.cells)]


def planned(regimes: Sequence[str], seeds: Sequence[int], counts: Sequence[int], plan: TrainingPlan) -> list[Cell]:
    """Order the table's cells first, seed by seed, so that a run that is stopped early has complete seeds; then the few
    captions."""
    plain = [Cell(regime=regime, seed=seed, plan=plan) for seed in seeds for regime in regimes]
    return [*plain, *(replace(cell, captions=count) for count in counts for cell in plain)]


def run(bench: Bench, *, log: Callable[[str], None]) -> None:
    """Make what is missing. Nothing of the zoo and no pre-training that was made by other settings is thrown away."""
    states = bench.shop.states(bench.stages)
    others = [name for name, state in states.items() if state == "other"]
    _refuse_to_lose(bench, others)
    if others:
        log(f"{', '.join(others)}: made by other settings or of other videos, so anew")
    missing = [name for name, state in states.items() if state != "finished" and not name.startswith(CELLS)]
    if missing and bench.on_a_zoo:
        log(f"{bench.shop.root} lacks {', '.join(missing)}: made first, as `pseudocap zoo build` does")
    waiting = [name for name, state in states.items() if state != "finished"]
    bench.shop.run([_logged(stage, bench.shop, waiting, log) for stage in bench.stages])


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
    """Test whether a stage holds what may have taken days, also in part, and not new adapters or a captioner's name."""
    done = folder / DONE
    if not done.is_file():
        return (folder / "run" / "checkpoints").is_dir()
    return str(json.loads(done.read_text(encoding="utf-8")).get("command", "")).startswith(TRAIN)


def _logged(stage: Stage, shop: Workshop, waiting: Sequence[str], log: Callable[[str], None]) -> Stage:
    """Log the position and how long it may take before a stage is made."""
    if stage.name not in waiting:
        return stage

    def make(folder: Path, report: Progress) -> Mapping[str, Any]:
        position = list(waiting).index(stage.name)
        log(f"{stage.name}: {position + 1} of {len(waiting)} to make, {time_left(shop, waiting[position:])}")
        return stage.make(folder, report)

    return replace(stage, make=make)


def time_left(shop: Workshop, waiting: Sequence[str]) -> str:
    """Estimate by what equal stages of other seeds took, else by others of the same part; in words."""
    took = _seconds(shop.root)
    known = [_expected(name, took) for name in waiting]
    total = sum(seconds for seconds in known if seconds is not None)
    unknown = known.count(None)
    if unknown == len(known):
        return "time left not known yet"
    minutes, more = max(1, round(total / 60)), f" and {unknown} of unknown length" if unknown else ""
    return f"about {minutes // 60} h {minutes % 60:02} min left{more}"


def _seconds(root: Path) -> dict[str, list[float]]:
    """Return the seconds of all finished stages below a build, by what they are without their seed."""
    took: dict[str, list[float]] = {}
    for path in (*root.glob(f"*/{DONE}"), *root.glob(f"cells/*/{DONE}")):
        report = json.loads(path.read_text(encoding="utf-8"))
        took.setdefault(_seedless(path.parent.name), []).append(float(report.get("seconds", 0.0)))
    return took


def _seedless(name: str) -> str:
    return re.sub(r"-s\d+$", "", name.removeprefix("cells/"))


def _expected(name: str, took: Mapping[str, Sequence[float]]) -> float | None:
    kind = _seedless(name)
    part = kind.partition("-")[0]
    alike = took.get(kind) or [each for other, times in took.items() for each in times if other.startswith(f"{part}-")]
    return sum(alike) / len(alike) if alike else None


def provenance(bench: Bench) -> dict[str, Any]:
    """Return the corpus with the hashes of its splits, and how much of the test could be decoded."""
    report = bench.shop.reports.get("corpus")  # of a real corpus
    if report is not None:
        known = {name: report[name] for name in ("coverage", "to learn from")}
        return {**report["provenance"], "corpus": bench.corpus, **known}
    corpus = read_own(bench.shop.root / bench.ground.captions, split="train")
    return corpus.provenance() | {"corpus": bench.corpus, "coverage": "all test videos"}
