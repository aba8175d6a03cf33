"""Clips that look like an earlier one name it, within and across videos, and keep their rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pseudocap.errors import ConfigError
from pseudocap.label.near_duplicates import MarkNearDuplicates, clip_id, compared, near_duplicates
from pseudocap.types import Clip, Pseudolabel

LABEL = Pseudolabel(
    clip=Clip(source="a.mp4", start=0.0, end=8.0),
    captions=("a dog",),
    log_probs=(),
    confidence=None,
    frame_times=(),
    teacher="null",
    revision=None,
    settings="{}",
    seed=0,
)


def naive(vectors: np.ndarray, threshold: float) -> list[int]:
    """One after another, each with all that were kept."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    of: list[int] = []
    for row, vector in enumerate(unit):
        kept = [number for number in range(row) if of[number] < 0]
        nearest = max(kept, key=lambda number: float(unit[number] @ vector), default=-1)
        of.append(nearest if nearest >= 0 and unit[nearest] @ vector >= threshold else -1)
    return of


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_find_what_a_loop_over_all_pairs_finds(block: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 8)).astype(np.float32)[rng.integers(0, 20, 150)]
    vectors = vectors + 0.15 * rng.normal(size=vectors.shape).astype(np.float32)
    expected = naive(vectors, 0.97)
    assert 20 < expected.count(-1) < 120
    assert near_duplicates(vectors, 0.97, block=block).tolist() == expected


def test_a_chain_of_small_changes_is_not_one_duplicate() -> None:
    angles = np.radians([0, 20, 40, 60])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert near_duplicates(vectors, 0.9).tolist() == [-1, 0, -1, 2]
    assert near_duplicates(np.zeros((2, 3), np.float32), 0.9).tolist() == [-1, -1], "nothing looks like nothing"
    with pytest.raises(ConfigError, match="threshold is 0 and must be above 0"):
        near_duplicates(vectors, 0.0)


def test_only_clips_without_another_objection_are_compared_and_each_once() -> None:
    other = replace(
        LABEL, clip=replace(LABEL.clip, start=8.0, end=16.0), verdicts=("near-duplicate:x.mp4#0.000-8.000",)
    )
    labels = [
        LABEL,
        replace(LABEL, language="es"),
        replace(other, verdicts=("black",)),
        other,
        replace(other, error="x"),
    ]
    assert [clip_id(label) for label in compared(labels)] == ["a.mp4#0.000-8.000", "a.mp4#8.000-16.000"]


def test_verdicts_name_the_clip_and_replace_those_of_an_earlier_run() -> None:
    old = replace(LABEL, verdicts=("near-duplicate:x.mp4#0.000-8.000",))
    marks = MarkNearDuplicates(of={"a.mp4#0.000-8.000": "b.mp4#0.000-8.000"}, settings={})
    none = MarkNearDuplicates(of={"a.mp4#0.000-8.000": ""}, settings={})
    (new,), (black,) = marks.rewrite([old, replace(LABEL, verdicts=("black",))])
    assert (new.verdicts, black.verdicts) == (("near-duplicate:b.mp4#0.000-8.000",), ("black",))
    assert none.rewrite([new]) == [[LABEL]]
    assert MarkNearDuplicates(of={}, settings={}).rewrite([new]) == [[new]], "it was not compared"
