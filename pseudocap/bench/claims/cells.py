"""Make the benchmark's cells: one regime, one seed, one set of settings, as stages of a workshop that are made once.

A cell is pre-trained by `pseudocap train`, fine-tuned by `pseudocap finetune` and measured on the test films. The words
of both verbs are its plan's, with what differs after them: a later word of the same option wins.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pseudocap.bench.claims.measured import measure_cell
from pseudocap.captioner import PseudoCap
from pseudocap.errors import DataError
from pseudocap.evaluate.captioner import HeldOut, Judge
from pseudocap.regimes.loss_guards import BAD_LOSS
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.regimes.table import UNTRAINED, resume_words
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.types import Progress

CODE = 1  # raised when the code of a cell makes other results of the same settings
STEPS_EACH = 8  # that an epoch has at least, as in `pseudocap finetune`; where few captions make fewer, epochs are more


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Hold what all cells stand on, made once. Paths are as the verbs take them in the workshop's folder.

    `training` and `tuning` go behind the plan's words; `streams` has what each regime learns from, `needs` the stages
    that make it. `own` are the cells that the zoo itself has trained and tuned. `started` are captioners that were
    pre-trained elsewhere, by regime. `identities` name which of the user's files the pre-training of a regime and seed
    is made of, wherever these lie. `running` has words for both that change nothing of what is learned. `judge` holds
    captions against the truth, where that is known.
    """

    decoder: str
    encoder: str
    captions: str
    memories: str  # the stage of the tuning's memories
    views: str  # the stage of the test films' memories
    films: Callable[[], Sequence[HeldOut]]
    judge: Judge | None = None
    streams: Mapping[str, tuple[str, ...]]
    needs: Mapping[str, tuple[str, ...]]
    training: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()
    own: frozenset[tuple[str, int]] = frozenset()
    started: Mapping[str, str] = field(default_factory=dict)
    identities: Mapping[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Hold one run. `variant` names what an ablation sets; `captions` is how many the fine-tuning has, None for all."""

    regime: str
    seed: int
    plan: TrainingPlan
    variant: str = ""
    captions: int | None = None
    training: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()
    memories: str | None = None  # another stage of the tuning's memories than the ground's
    views: str | None = None
    needs: tuple[str, ...] = ()  # further stages that its words speak of
    processes: int = 1  # ranks of the pre-training, on this machine
    may_diverge: bool = False

    @property
    def pretrained(self) -> str:
        return "-".join(filter(None, (self.regime, self.variant.partition("+")[0], f"s{self.seed}")))

    @property
    def name(self) -> str:
        number = "" if self.captions is None else f"n{self.captions}"
        return "-".join(filter(None, (self.regime, self.variant.replace("+", "-"), number, f"s{self.seed}")))

    def stage(self, ground: Ground, part: str) -> str:
        """Return the name of the stage that trains, tunes or measures it: the zoo's, where the zoo has made it."""
        plain = not self.variant and (self.regime, self.seed) in ground.own
        if part == "trained":
            return f"trained-{self.regime}" if plain else f"cells/trained-{self.pretrained}"
        if part == "tuned" and plain and self.captions is None:
            return f"tuned-{self.regime}"
        return f"cells/{part}-{self.name}"


def for_seed(source: str, seed: int) -> str:
    """Return the captioner of a seed, where `{seed}` stands for it."""
    return source.replace("{seed}", str(seed))


def cell_stages(shop: Workshop, ground: Ground, cells: Sequence[Cell]) -> list[Stage]:
    """List all that the cells need beside the ground, each stage once."""
    found: dict[str, Stage] = {}
    for cell in cells:
        made = []
        if not cell.stage(ground, "trained").startswith("trained-"):
            made.append(_training(shop, ground, cell))
        if cell.captions is not None:
            made.append(_few_captions(shop, ground, cell))
        if not cell.stage(ground, "tuned").startswith("tuned-"):
            made.append(_tuning(shop, ground, cell))
        made.append(_measuring(shop, ground, cell))
        found |= {stage.name: stage for stage in made if stage.name not in found}
    return list(found.values())


def _settings(cell: Cell, *, tuning: bool) -> dict[str, Any]:
    own = cell.plan.settings(tuning=tuning)
    return {"code": CODE, "regime": cell.regime, "seed": cell.seed, "training": cell.training, **own}


def _training(shop: Workshop, ground: Ground, cell: Cell) -> Stage:
    name = cell.stage(ground, "trained")
    words = pretraining_words(ground, cell)

    def train(folder: Path, report: Progress) -> Mapping[str, Any]:
        run = folder / "run"
        if cell.regime in ground.started:
            return {"start": for_seed(ground.started[cell.regime], cell.seed)}
        if cell.regime == UNTRAINED:
            _write_untrained(shop.root, ground, cell, run / "last")
            return {"command": "new adapters, not pre-trained"}
        resume = resume_words(run)
        verb = partial(_train_on_ranks, shop.root, cell.processes) if cell.processes > 1 else shop.verb
        found = _diverged(cell, partial(verb, *words, *resume))
        if not found:
            shutil.rmtree(run / "checkpoints", ignore_errors=True)  # the captioner is kept; nothing goes on from here
        return {**found, "command": command_text(words)}

    if own := ground.identities.get((cell.regime, cell.seed)):
        given: dict[str, Any] = {"words": ground.training, "identities": own}
    else:
        given = {"words": (*ground.training, *ground.streams.get(cell.regime, ())), "decoder": ground.decoder}
        given |= {"encoder": ground.encoder, "started": ground.started.get(cell.regime)}
    needs = () if cell.regime in ground.started else (*ground.needs.get(cell.regime, ()), *cell.needs)
    return Stage(name=name, settings=_settings(cell, tuning=False) | given, make=train, needs=needs)


def _diverged(cell: Cell, verb: Callable[[], object]) -> dict[str, str]:
    """Run a verb, and return the report of a loss that diverged where the cell may; any other failure is one."""
    try:
        verb()
    except DataError as error:
        if not (cell.may_diverge and BAD_LOSS in str(error)):
            raise
        return {"diverged": str(error)}
    return {}


def _train_on_ranks(root: Path, processes: int, *words: str) -> None:
    """Train in processes of their own: Lightning starts the other ranks by the command that it was started with."""
    ranks = ("--trainer.devices", str(processes), "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu")
    command = (sys.executable, "-m", "pseudocap", *words, *ranks)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DataError(f"`pseudocap {' '.join((*words, *ranks))}` failed: {done.stderr.strip()[-500:]}")


def pretraining_words(ground: Ground, cell: Cell) -> tuple[str, ...]:
    out, networks = f"{cell.stage(ground, 'trained')}/run", {"decoder": ground.decoder, "encoder": ground.encoder}
    return (
        *cell.plan.training_words(cell.regime, seed=cell.seed, out=out, **networks),
        *("--model.seed", str(cell.seed), "--model.model.init_args.seed", str(cell.seed)),
        *(*ground.training, *ground.streams.get(cell.regime, ()), *cell.training, *ground.running.get("training", ())),
    )


def _write_untrained(root: Path, ground: Ground, cell: Cell, folder: Path) -> None:
    """Write a captioner that has learned nothing, with the adapters that the same words would have started from."""
    given = dict(zip(cell.training[::2], cell.training[1::2], strict=True))
    option = "--model.model.init_args."
    chosen: dict[str, Any] = {
        name.removeprefix(option): yaml.safe_load(value) for name, value in given.items() if name.startswith(option)
    }
    backbones = {"decoder": ground.decoder, "encoder": ground.encoder}
    found: dict[str, Any] = {
        name: root / source if (root / source).exists() else source for name, source in backbones.items()
    }
    PseudoCap.from_backbones(**found, seed=cell.seed, device="cpu", **chosen).save_pretrained(folder)


def _few_captions(shop: Workshop, ground: Ground, cell: Cell) -> Stage:
    """Write the corpus with so many captions to learn from. The validation, which decides when to stop, stays full."""
    assert cell.captions is not None
    count = cell.captions

    def write(folder: Path, report: Progress) -> Mapping[str, Any]:
        lines = (shop.root / ground.captions).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        training = [row for row in rows if row["split"] == "train"]
        if count > (there := sum(len(row["caption"]) for row in training)):
            raise DataError(f"--captions {count:,}: there are {there:,} captions to learn from; name fewer")
        chosen = fewer(training, count, seed=cell.seed)
        kept = [*chosen, *(row for row in rows if row["split"] != "train")]
        (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        return {"videos": len(chosen), "captions": sum(len(row["caption"]) for row in chosen)}

    return Stage(
        name=captions_stage(count, cell.seed),
        settings={"code": CODE, "captions": count, "seed": cell.seed, "source": ground.captions},
        make=write,
        needs=(ground.memories,),  # which stands on the captions
    )


def captions_stage(count: int, seed: int) -> str:
    return f"cells/captions-n{count}-s{seed}"


def fewer(rows: Sequence[Mapping[str, Any]], count: int, *, seed: int) -> list[dict[str, Any]]:
    """Choose `count` captions of the rows, a caption of each video before a second of any; fewer are a part of more."""
    generator = np.random.default_rng([seed, 20])
    order = generator.permutation(len(rows))
    each = [generator.permutation(len(row["caption"])) for row in rows]
    turns = product(range(max(map(len, each))), order.tolist())
    taken: dict[int, list[str]] = {}
    for turn, number in islice(((turn, number) for turn, number in turns if turn < len(each[number])), count):
        taken.setdefault(number, []).append(rows[number]["caption"][each[number][turn]])
    return [{**rows[number], "caption": captions} for number, captions in sorted(taken.items())]


def _tuning(shop: Workshop, ground: Ground, cell: Cell) -> Stage:
    trained, name = cell.stage(ground, "trained"), cell.stage(ground, "tuned")

    def tune(folder: Path, report: Progress) -> Mapping[str, Any]:
        before = shop.reports[trained]
        if "diverged" in before:
            return {"diverged": before["diverged"]}
        words = finetuning_words(ground, cell, start=before.get("start") or f"{trained}/run/last")
        shutil.rmtree(folder / "run", ignore_errors=True)  # fine-tuning does not go on
        return {**_diverged(cell, partial(shop.verb, *words)), "command": command_text(words)}

    few = () if cell.captions is None else (captions_stage(cell.captions, cell.seed),)
    return Stage(
        name=name,
        settings=_settings(cell, tuning=True)
        | {"words": ground.tuning, "tuning": cell.tuning, "captions": cell.captions},
        make=tune,
        needs=(trained, cell.memories or ground.memories, *few),
    )


def finetuning_words(ground: Ground, cell: Cell, *, start: str) -> tuple[str, ...]:
    few = cell.captions
    words = cell.plan.tuning_words(
        start=start,
        captions=ground.captions if few is None else f"{captions_stage(few, cell.seed)}/captions.jsonl",
        memories=f"{cell.memories or ground.memories}/store",
        out=f"{cell.stage(ground, 'tuned')}/run",
        seed=cell.seed,
    )
    words = (*words, *ground.tuning, *cell.tuning, *ground.running.get("tuning", ()))
    return words if few is None else (*words, *_paced(cell.plan, few))


def _paced(plan: TrainingPlan, captions: int) -> tuple[str, ...]:
    """Pace few videos, of which an epoch is a step or two: smaller batches, and more epochs for as many steps.

    It counts a video for each caption, so that all regimes have the same pace at the same number.
    """
    batch = min(plan.tuning_batch, max(4, captions // STEPS_EACH))
    times = max(1, math.ceil(STEPS_EACH / math.ceil(captions / batch)))
    epochs, patience = plan.tuning_epochs * times, plan.tuning_patience * times
    return ("--batch-size", str(batch), "--max-epochs", str(epochs), "--patience", str(patience))


def _measuring(shop: Workshop, ground: Ground, cell: Cell) -> Stage:
    trained, tuned = cell.stage(ground, "trained"), cell.stage(ground, "tuned")
    views = cell.views or ground.views
    complete = cell.captions is None and not cell.variant

    def measure(folder: Path, report: Progress) -> Mapping[str, Any]:
        if "diverged" in shop.reports[tuned]:
            return {"diverged": shop.reports[tuned]["diverged"]}
        start = shop.reports[trained].get("start") or shop.folder(trained) / "run" / "last"
        return measure_cell(
            folder,
            tuned=shop.folder(tuned) / "run" / "best",
            zero_shot=start if cell.captions is None else None,
            views=shop.folder(views),
            films=ground.films(),
            judge=ground.judge,
            every_view=complete,
        )

    return Stage(
        name=cell.stage(ground, "measured"),
        settings={"code": CODE, "whole": complete},
        make=measure,
        needs=(trained, tuned, views),
    )
