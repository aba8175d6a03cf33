"""Measure a captioner before and after it has learned: loss and captions of held-out clips, and their scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pseudocap.captioner import PseudoCap
from pseudocap.data.collate import collate
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import read_spec
from pseudocap.decoding import Decoding
from pseudocap.errors import DataError
from pseudocap.evaluate.captioner import SAMPLES, rounded, rounded_intervals
from pseudocap.files.atomic import write_text
from pseudocap.learn.plan import CAPTIONER, HELD_OUT, LEARNED, MEMORIES, REFERENCES, LearnPlan
from pseudocap.metrics.measures import Measure
from pseudocap.metrics.references import Floats
from pseudocap.metrics.resample import difference
from pseudocap.metrics.suite import Scores, compare, score
from pseudocap.regimes.losses import Objective, summed_loss
from pseudocap.stages import Workshop
from pseudocap.types import Progress
from pseudocap.video.tensors import batched

BEFORE, AFTER = "before", "after"
CAPTIONED = 12  # clips of those that were learned, for the report
BATCH = 16
MEAN = Measure(rows=lambda predictions: np.zeros((0, 2)), combine=lambda totals: totals[..., 0] / totals[..., 1])


@dataclass(frozen=True, kw_only=True)
class Change:
    """Hold a figure before and after on the same videos. The interval is of the difference; None of a single one."""

    before: float
    after: float
    interval: tuple[float, float] | None = None
    p: float | None = None


@dataclass(kw_only=True)
class Measurements:
    """Hold, by folder of memories, the references by clip, and by time the captions; and what they are worth.

    The teacher's captions are the references of clips that are learned or held out."""

    references: dict[str, dict[str, tuple[str, ...]]]
    captions: dict[str, dict[str, dict[str, str]]]  # folder -> before, after -> clip
    videos: int
    loss: Change
    agreement: dict[str, Scores] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)  # by metric, against people's captions

    def document(self) -> dict[str, Any]:
        def figures(found: Mapping[str, Scores]) -> dict[str, Any]:
            return {when: {**rounded(one, 2), "intervals": rounded_intervals(one, 2)} for when, one in found.items()}

        return {
            "videos": self.videos,
            "clips": len(self.references[HELD_OUT]),
            "loss": _change(self.loss),
            "agreement with the teacher": figures(self.agreement),
            "references": len(self.references.get(REFERENCES, {})),
            "scores": figures(self.scores),
            "changes": {name: _change(each) for name, each in self.changes.items()},
        }


def _change(change: Change) -> dict[str, Any]:
    return {
        "before": round(change.before, 4),
        "after": round(change.after, 4),
        "interval of the difference": change.interval and [round(value, 4) for value in change.interval],
        "p": change.p and round(change.p, 4),
    }


def measure_run(folder: Path, shop: Workshop, plan: LearnPlan, *, device: str, progress: Progress) -> Measurements:
    """Caption and score what is held out, by the captioner that was started from and by what became of it."""
    stores = [LEARNED, HELD_OUT, *([REFERENCES] if plan.captions else [])]
    sources = {name: _stored(shop.folder(MEMORIES) / name) for name in stores}
    losses: dict[str, dict[str, tuple[float, int]]] = {}
    captions: dict[str, dict[str, dict[str, str]]] = {name: {} for name in stores}
    for turn, (when, captioner) in enumerate(((BEFORE, plan.start), (AFTER, str(shop.folder(CAPTIONER))))):
        path = folder / f"{when}.json"
        if not path.is_file():
            model = PseudoCap.from_pretrained(captioner, device=device)
            found: dict[str, Any] = {
                name: caption_memories(model, source, CAPTIONED if name == LEARNED else None)
                for name, source in sources.items()
            }
            found["loss"] = losses_of(model, sources[HELD_OUT])
            write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        found = json.loads(path.read_text(encoding="utf-8"))
        losses[when] = found.pop("loss")
        for name, texts in found.items():
            captions[name][when] = texts
        progress(turn + 1, 2)
    references = {
        name: {row.key: row.captions for row in source.rows if row.key in captions[name][AFTER]}
        for name, source in sources.items()
    }
    videos = {row.key.rpartition("#")[0] for row in sources[HELD_OUT].rows}
    measured = Measurements(
        references=references, captions=captions, videos=len(videos), loss=loss_change(losses[BEFORE], losses[AFTER])
    )
    measured.agreement = _scores(captions[HELD_OUT], references[HELD_OUT])
    if plan.captions:
        measured.scores = _scores(captions[REFERENCES], references[REFERENCES])
        measured.changes = _changes(captions[REFERENCES], references[REFERENCES], measured.scores)
    return measured


def _stored(folder: Path) -> MemorySource:
    return MemorySource(folder, patches=read_spec(folder).patches)


@torch.inference_mode()
def caption_memories(model: PseudoCap, source: MemorySource, most: int | None = None) -> dict[str, str]:
    """Caption stored clips greedily, the first `most` of them."""
    captions: dict[str, str] = {}
    for samples in batched((source.sample(number, None) for number in islice(range(len(source)), most)), BATCH):
        batch = collate(samples, [sample.captions[0] for sample in samples])
        assert batch.memory is not None, "they are stored memories"
        texts = model.describe(batch.memory.to(model.device), **Decoding().generate_options())
        captions |= dict(zip(batch.keys, texts, strict=True))
    return captions


@torch.inference_mode()
def losses_of(model: PseudoCap, source: MemorySource) -> dict[str, tuple[float, int]]:
    """Sum the losses of the tokens of each clip's first caption, cut where training cuts it, and count them."""
    losses = {}
    for number in range(len(source)):
        sample = source.sample(number, None)
        assert sample.memory is not None, "it is a stored memory"
        tokens = model.tokenize(sample.captions[:1], max_tokens=Objective().max_tokens)
        losses[sample.key] = summed_loss(model, tokens, sample.memory.to(model.device))
    return losses


def loss_change(before: Mapping[str, tuple[float, int]], after: Mapping[str, tuple[float, int]]) -> Change:
    """Compare the losses per token; the interval is over videos, since clips of one are alike."""
    tables = [_by_video(losses) for losses in (before, after)]
    means = [float(MEAN.combine(table.sum(axis=0))) for table in tables]
    if len(tables[0]) < 2:
        return Change(before=means[0], after=means[1])
    found = difference(MEAN, tables[1], tables[0], samples=SAMPLES, seed=0)
    interval = found.interval.low / 100, found.interval.high / 100
    return Change(before=means[0], after=means[1], interval=interval, p=found.p)


def _by_video(losses: Mapping[str, tuple[float, int]]) -> Floats:
    """Return the sum of the losses of each video's clips, and the number of their tokens."""
    sums: dict[str, Floats] = {}
    for key, loss in losses.items():
        video = key.rpartition("#")[0]
        sums[video] = sums.get(video, np.zeros(2)) + np.array(loss)
    return np.array([sums[name] for name in sorted(sums)])


def _scores(captions: Mapping[str, Mapping[str, str]], references: Mapping[str, tuple[str, ...]]) -> dict[str, Scores]:
    if len(references) < 2:
        return {}
    return {
        when: score(predictions=texts, references=references, bootstrap=SAMPLES) for when, texts in captions.items()
    }


def _changes(
    captions: Mapping[str, Mapping[str, str]],
    references: Mapping[str, tuple[str, ...]],
    scores: Mapping[str, Scores],
) -> dict[str, Change]:
    if not scores:
        raise DataError("fewer than two of the videos held out have captions by people; raise --holdout")
    found = compare(predictions=captions[AFTER], baseline=captions[BEFORE], references=references, samples=SAMPLES)
    return {
        name: Change(
            before=scores[BEFORE][name],
            after=scores[AFTER][name],
            interval=(each.interval.low, each.interval.high),
            p=each.p,
        )
        for name, each in found.items()
    }
