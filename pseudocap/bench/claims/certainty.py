"""Compute how certain a mean over few seeds is, and whether one regime is better than another.

Two intervals, of two kinds of chance. Over seeds: Student's t, for another training of the same settings on the same
films. Over films: the bootstrap, for other films of the same kind and the same trainings. A claim must pass both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pseudocap.errors import DataError
from pseudocap.metrics.measures import measure
from pseudocap.metrics.resample import Interval, difference
from pseudocap.metrics.suite import Scores
from pseudocap.regimes.table import ASR, IMAGE_ONLY, MIXED, MIXED_EXT, VIDEO_ONLY

METRIC = "CIDEr-D"
SAMPLES = 1000
# The 97.5 % quantiles of Student's t for 1, 2, ... 30 degrees of freedom; scipy would be a dependency for these alone.
T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
ClaimVerdict = Literal["holds", "does not hold: the reverse does", "not decided"]


def mean_over_seeds(values: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the mean of a figure over seeds, and its interval, which a single seed has not."""
    if not values:
        raise DataError("there is no value to take a mean of; finish a cell first")
    centre = statistics.fmean(values)
    if len(values) == 1:
        return centre, None
    freedom = len(values) - 1
    # Beyond the table the normal quantile with the expansion's first term, right to the third decimal.
    quantile = T[freedom - 1] if freedom <= len(T) else 1.960 + (1.960**3 + 1.960) / (4 * freedom)
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return centre, Interval(low=centre - half, high=centre + half)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Hold a claim of the papers: this regime is better than that one."""

    text: str
    better: str
    worse: str


CLAIMS = (
    Claim(text="pseudolabels of video beat ASR", better=VIDEO_ONLY, worse=ASR),
    Claim(text="images and video together beat images alone", better=MIXED, worse=IMAGE_ONLY),
    Claim(text="images and video together beat video alone", better=MIXED, worse=VIDEO_ONLY),
    Claim(text="longer is better", better=MIXED_EXT, worse=MIXED),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Hold a claim with what was measured, in CIDEr-D: the difference with its two paired intervals."""

    claim: Claim
    difference: float
    over_seeds: Interval | None
    over_films: Interval
    seeds: tuple[int, ...]
    verdict: ClaimVerdict


def judge_claim(claim: Claim, scored: Mapping[tuple[str, int], Scores]) -> Judged | None:
    """Judge from the scores by (regime, seed); None where no seed has both regimes."""
    seeds = tuple(sorted(seed for regime, seed in scored if regime == claim.better and (claim.worse, seed) in scored))
    if not seeds:
        return None
    ours, theirs = ([scored[regime, seed] for seed in seeds] for regime in (claim.better, claim.worse))
    _, over_seeds = mean_over_seeds([a[METRIC] - b[METRIC] for a, b in zip(ours, theirs, strict=True)])
    # A film's row is [its CIDEr-D, 1], so rows added over the seeds give the film's mean over them.
    rows_ours, rows_theirs = (np.sum([scores.rows[METRIC] for scores in side], axis=0) for side in (ours, theirs))
    found = difference(measure(METRIC), rows_ours, rows_theirs, samples=SAMPLES, seed=0)
    return Judged(
        claim=claim,
        difference=found.value,
        over_seeds=over_seeds,
        over_films=found.interval,
        seeds=seeds,
        verdict=verdict_of(over_seeds, found.interval),
    )


def verdict_of(over_seeds: Interval | None, *others: Interval) -> ClaimVerdict:
    """Decide where all intervals lie on the same side of zero; one seed decides nothing."""
    if over_seeds is None:
        return "not decided"
    if all(each.low > 0 for each in (over_seeds, *others)):
        return "holds"
    if all(each.high < 0 for each in (over_seeds, *others)):
        return "does not hold: the reverse does"
    return "not decided"
