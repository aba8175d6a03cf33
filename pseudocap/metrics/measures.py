"""Define the metrics by name: what each video contributes, and how its sum becomes a value.

Every metric here is a function of a sum over videos (a mean is a sum and a count), so one table of rows gives the
corpus, any part of it, resampled corpora, and a sum over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pseudocap.errors import DataError, nearest
from pseudocap.languages import language_facts
from pseudocap.metrics import bleu, cider, java, rouge
from pseudocap.metrics.references import ORDERS, Floats, Predictions, References

METRICS = ("CIDEr-D", "BLEU-4", "ROUGE-L")  # what is computed and reported where none are named


@dataclass(frozen=True, kw_only=True)
class Measure:
    rows: Callable[[Predictions], Floats]  # [n, columns]; for Java's also timeout=
    combine: Callable[[Floats], Floats]  # sums along the last axis -> values, 1 = all
    columns: int = 2
    java: bool = False
    undefined: Callable[[References], str] = lambda references: ""


@dataclass(frozen=True)
class _Counted:
    """Return a score per video, with a column that counts the videos."""

    score: Callable[..., Floats]

    def __call__(self, predictions: Predictions, **options: float) -> Floats:
        values = self.score(predictions, **options)
        return np.column_stack([values, np.ones(len(values))])


def _mean(totals: Floats) -> Floats:
    return totals[..., 0] / totals[..., 1]


MEASURES = {
    "CIDEr-D": Measure(rows=_Counted(cider.cider_d), combine=_mean, undefined=cider.undefined),
    "CIDEr": Measure(rows=_Counted(cider.cider), combine=_mean, undefined=cider.undefined),
    **{f"BLEU-{n}": Measure(rows=bleu.counts, combine=partial(bleu.bleu, n=n), columns=bleu.COLUMNS) for n in ORDERS},
    "ROUGE-L": Measure(rows=_Counted(rouge.rouge_l), combine=_mean),
    "METEOR": Measure(rows=java.meteor_counts, combine=java.meteor, columns=java.METEOR_NUMBERS, java=True),
    "SPICE": Measure(rows=_Counted(java.spice), combine=_mean, java=True),
}


def obstacles(metrics: Sequence[str], *, language: str = "en") -> dict[str, str]:
    """Return which of these metrics cannot be computed on this machine or in a language, and why: call it before a run
    begins."""
    measures = {name: measure(name) for name in metrics}
    english = f"its words are English, and the captions are in {language_facts(language).name}"
    found = {
        name: java.obstacle(name) if language == "en" else english for name, entry in measures.items() if entry.java
    }
    return {name: reason for name, reason in found.items() if reason}


def measure(name: str) -> Measure:
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        hint = " (what coco-caption calls CIDEr is CIDEr-D)" if "cider" in name.lower() else nearest(name, MEASURES)
        raise DataError(f"there is no metric {name!r}{hint}; there are {known}")
    return MEASURES[name]
