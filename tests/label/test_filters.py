"""Verdicts on captions: each filter sees what it is for and nothing else."""

from __future__ import annotations

import pytest

from pseudocap.errors import ConfigError
from pseudocap.label.filters import Filters, verdicts


def of(*captions: str | None, **options: object) -> list[tuple[str, ...]]:
    return verdicts(captions, Filters(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("caption", "verdict"),
    [
        ("a dog runs in the snow", ()),
        ("", ("empty",)),
        ("  ... !", ("empty",)),
        ("a dog", ("short",)),
        ("a dog runs", ()),
        (" ".join(map(str, range(50))), ()),
        (" ".join(map(str, range(51))), ("long",)),
        ("a dog a dog", ()),
        ("word " * 51, ("long", "repeated")),
        ("a dog a dog a dog a dog", ("repeated",)),
        ("a dog and a dog and a cat", ()),
        ("the Dog's bone, a GUN", ("word:gun",)),
        ("the gunner sits down", ()),
        ("he is holding hands there", ("word:holding hands",)),
        ("hands are holding it", ()),
    ],
)
def test_each_filter_sees_what_it_is_for(caption: str, verdict: tuple[str, ...]) -> None:
    assert of(caption, words=("gun", "holding hands")) == [verdict]


def test_the_first_of_equal_captions_of_a_video_stays() -> None:
    assert of("A dog runs.", "a cat sits", "a dog runs", None, "a dog runs") == [
        (),
        (),
        ("duplicate",),
        (),
        ("duplicate",),
    ]
    assert of("a dog runs", "a dog runs", duplicates=False) == [(), ()]


def test_zero_switches_a_filter_off() -> None:
    assert of("dog", "x " * 60, min_words=0, max_words=0, repeats=0) == [(), ()]


@pytest.mark.parametrize("wrong", [{"min_words": -1}, {"max_words": 2, "min_words": 3}, {"ngram": 0}])
def test_limits_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Filters(**wrong)  # type: ignore[arg-type]
