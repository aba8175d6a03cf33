"""Of several captions of a clip the one that most others resemble comes first."""

from __future__ import annotations

import pytest

from pseudocap.label.consensus import agreements, medoid_first

MOST, OTHER = "a dog runs on the grass", "two people play a guitar"


def test_the_caption_that_most_resemble_agrees_most_and_the_odd_one_least() -> None:
    captions = {0: (OTHER, MOST, "a dog runs on grass"), 1: ("a boat", "a boat on a lake", "a boat at sea")}
    scores = agreements(captions)
    assert list(scores) == [0, 1]
    assert medoid_first(scores[0])[-1] == 0
    assert scores[0][1] > scores[0][0]
    assert all(0.0 <= value <= 1.0 for values in scores.values() for value in values)


@pytest.mark.parametrize("clips", [1, 2])
def test_equal_captions_agree_wholly_and_strange_ones_not_at_all(clips: int) -> None:
    """One clip alone too, in which no n-gram is rare."""
    captions = {0: (MOST, MOST, OTHER), **({1: ("b c d e", "f g h i", "j k l m")} if clips == 2 else {})}
    first, second, third = agreements(captions)[0]
    assert first == second > third
    if clips == 2:
        assert agreements(captions)[1] == [0.0, 0.0, 0.0]


def test_the_earlier_of_equals_comes_first() -> None:
    assert medoid_first([0.5, 0.9, 0.5, 0.9]) == [1, 3, 0, 2]
    assert agreements({}) == {}
