"""Estimate how far a score would move with other videos of the same kind, and whether one system is really better.

Videos are drawn again with replacement (bootstrap) for intervals; for the test, the two systems' captions are
swapped at random, video by video (approximate randomisation), which is what "no difference" means. The rarity of
words in CIDEr stays as counted over all references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pseudocap.errors import DataError
from pseudocap.metrics.measures import Measure
from pseudocap.metrics.references import Floats

CHUNK = 2_000_000  # draws held in memory at a time


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Hold the middle 95 % of the resampled values, on the scale of their score: shares x 100."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Hold one system's value less the other's, x 100; `p`: how often chance alone makes it as large, either way."""

    value: float
    interval: Interval
    p: float


def intervals(tables: Sequence[tuple[Measure, Floats]], *, samples: int, seed: int) -> list[Interval]:
    """Return one interval for each table of rows; all from the same draws, so metrics can be compared."""
    if not tables:
        return []
    draws = _draws(len(tables[0][1]), samples=samples, seed=seed)
    totals = [np.concatenate([part @ rows for part in draws]) for _, rows in tables]
    return [_middle(entry.combine(total)) for (entry, _), total in zip(tables, totals, strict=True)]


def difference(entry: Measure, ours: Floats, theirs: Floats, *, samples: int, seed: int) -> Difference:
    """Compare two systems by their rows on the same videos."""
    value = float(entry.combine(ours.sum(axis=0)) - entry.combine(theirs.sum(axis=0)))
    drawn, swapped = [], []
    for part in _draws(len(ours), samples=samples, seed=seed):
        drawn.append(entry.combine(part @ ours) - entry.combine(part @ theirs))
    change = theirs - ours
    generator = np.random.default_rng(seed + 1)
    for size in _parts(len(ours), samples):
        moved = generator.integers(0, 2, size=(size, len(ours))).astype(float) @ change
        swapped.append(entry.combine(ours.sum(axis=0) + moved) - entry.combine(theirs.sum(axis=0) - moved))
    as_large = np.abs(np.concatenate(swapped)) >= abs(value) * (1 - 1e-9)
    return Difference(
        value=value * 100, interval=_middle(np.concatenate(drawn)), p=float((1 + as_large.sum()) / (1 + len(as_large)))
    )


def _draws(videos: int, *, samples: int, seed: int) -> list[Floats]:
    """Return how often each video is drawn, [samples, videos] in parts."""
    generator = np.random.default_rng(seed)
    return [
        generator.multinomial(videos, np.full(videos, 1 / videos), size=size).astype(float)
        for size in _parts(videos, samples)
    ]


def _parts(videos: int, samples: int) -> list[int]:
    if samples < 2:
        raise DataError(f"bootstrap is {samples}; it takes at least 2 samples, and 1000 are usual")
    most = max(1, CHUNK // videos)
    return [min(most, samples - begun) for begun in range(0, samples, most)]


def _middle(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5]) * 100
    return Interval(low=float(low), high=float(high))
