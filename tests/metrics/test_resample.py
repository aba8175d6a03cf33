"""Intervals and tests of differences: what they must be where it can be calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pseudocap.errors import DataError
from pseudocap.metrics import resample
from pseudocap.metrics.measures import measure
from pseudocap.metrics.resample import difference, intervals

MEAN = measure("ROUGE-L")  # rows of a value and a count


def rows(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).random(400)
    (found,) = intervals([(MEAN, rows(values))], samples=4000, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx(
        ((values.mean() - half) * 100, (values.mean() + half) * 100), abs=0.2
    )
    (same,) = intervals([(MEAN, rows(np.full(50, 0.25)))], samples=100, seed=0)
    assert (same.low, same.high) == pytest.approx((25.0, 25.0))


def test_two_systems_that_differ_nowhere_and_everywhere() -> None:
    values = np.random.default_rng(0).random(60) / 2
    equal = difference(MEAN, rows(values), rows(values), samples=500, seed=0)
    assert (equal.value, equal.p) == (0.0, 1.0)
    better = difference(MEAN, rows(values + 0.25), rows(values), samples=500, seed=0)
    assert better.value == pytest.approx(25.0)
    assert (better.interval.low, better.interval.high) == pytest.approx((25.0, 25.0))
    assert better.p == pytest.approx(1 / 501)  # no swap of 60 is as large
    worse = difference(MEAN, rows(values), rows(values + 0.25), samples=500, seed=0)
    assert (worse.value, worse.p) == (pytest.approx(-25.0), better.p)
    of_two = difference(MEAN, rows(np.ones(2)), rows(np.zeros(2)), samples=2000, seed=0)
    assert of_two.p == pytest.approx(0.5, abs=0.05)  # of four swaps two are as large


def test_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = (rows(np.random.default_rng(seed).random(30)) for seed in (0, 1))
    at_once = difference(MEAN, ours, theirs, samples=101, seed=7), intervals([(MEAN, ours)], samples=101, seed=7)
    monkeypatch.setattr(resample, "CHUNK", 300)
    assert (difference(MEAN, ours, theirs, samples=101, seed=7), intervals([(MEAN, ours)], samples=101, seed=7)) == (
        at_once
    )


def test_one_draw_is_no_interval() -> None:
    with pytest.raises(DataError, match="bootstrap is 1; it takes at least 2 samples"):
        intervals([(MEAN, rows(np.ones(3)))], samples=1, seed=0)
    assert intervals([], samples=1, seed=0) == []
