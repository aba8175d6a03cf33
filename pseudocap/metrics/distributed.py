"""Compute the same scores as torchmetrics classes, for validation in training, on one process or many.

    metric = CiderD(references=References(captions))          # prepared once, before training
    metric.update(predictions={"video7": "a dog runs", ...})   # any batch, on any process
    metric.compute()                                           # x 100, of all videos of all processes

The state is one row of sums for each video of the split, and how often it was scored. Processes' states are added,
and a video that a sampler gave to two of them (to make the shares even) still counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torchmetrics import Metric

from pseudocap.errors import DataError
from pseudocap.metrics.measures import measure
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import align


class CaptionMetric(Metric):
    """Compute any metric of `score` without Java. Videos without a prediction are an error unless `allow_missing`."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    table: torch.Tensor
    times: torch.Tensor

    def __init__(
        self,
        *,
        references: Mapping[Any, Sequence[str]] | References,
        metric: str = "CIDEr-D",
        allow_missing: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.references = references if isinstance(references, References) else References(references)
        self.measure = measure(metric)
        if self.measure.java:
            raise DataError(f"{metric} runs in Java, too slow for validation in training; use score() afterwards")
        if reason := self.measure.undefined(self.references):
            raise DataError(f"{metric} cannot be computed: {reason}")
        self.allow_missing = allow_missing
        videos = len(self.references)
        self.add_state("table", torch.zeros(videos, self.measure.columns, dtype=torch.float32), "sum")
        self.add_state("times", torch.zeros(videos, dtype=torch.float32), "sum")

    def update(self, *, predictions: Mapping[Any, str]) -> None:
        """Add captions; a batch has some of the videos only, so `compute` reports what is missing."""
        unknown = [video for video in predictions if video not in self.references.index]
        if unknown and not self.allow_missing:
            raise DataError(
                f"{len(unknown)} predictions have no references (the first is {unknown[0]!r}); the ids must be those "
                "of the references, or allow_missing=True"
            )
        if len(unknown) == len(predictions):
            return
        captions, _ = align(predictions=predictions, references=self.references, allow_missing=True)
        rows = torch.from_numpy(self.measure.rows(captions)).to(self.table)
        indices = torch.from_numpy(captions.video).to(self.table.device)
        self.table.index_add_(0, indices, rows)
        self.times.index_add_(0, indices, torch.ones_like(rows[:, 0]))

    def compute(self) -> torch.Tensor:
        scored = self.times > 0
        missing = int((~scored).sum())
        if missing and not (self.allow_missing and missing < len(self.references)):
            raise DataError(
                f"{missing} of {len(self.references)} videos have no prediction; caption them all, or give the metric "
                "only the references of those that are validated"
            )
        rows = (self.table[scored] / self.times[scored, None]).double().sum(dim=0)
        return torch.tensor(float(self.measure.combine(rows.cpu().numpy())) * 100, device=self.table.device)


class CiderD(CaptionMetric):
    def __init__(self, **options: Any) -> None:
        super().__init__(metric="CIDEr-D", **options)


class Bleu(CaptionMetric):
    """Compute BLEU-n x 100, BLEU-4 by default."""

    def __init__(self, *, n: int = 4, **options: Any) -> None:
        super().__init__(metric=f"BLEU-{n}", **options)


class RougeL(CaptionMetric):
    def __init__(self, **options: Any) -> None:
        super().__init__(metric="ROUGE-L", **options)
