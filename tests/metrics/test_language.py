"""Check variety, length and made-up things, on captions small enough to count by hand."""

from __future__ import annotations

import pytest

from pseudocap.errors import DataError
from pseudocap.metrics.language import describe

PREDICTIONS = {1: "A dog runs.", 2: "a dog runs", 3: "the cat eats a hot dog", 4: ""}


def test_variety_and_length_are_those_counted_by_hand() -> None:
    language = describe(predictions=PREDICTIONS)
    assert language.captions == 4
    assert language.mean_length == 12 / 4
    assert language.vocabulary == 7  # a dog runs the cat eats hot
    assert language.distinct_1 == 7 / 12
    assert language.distinct_2 == 7 / 9
    assert language.distinct_captions == 3 / 4
    assert (language.unseen_captions, language.hallucinated_objects, language.hallucinated_actions) == (None,) * 3


def test_a_caption_is_unseen_when_no_training_caption_has_its_tokens() -> None:
    assert describe(predictions=PREDICTIONS, training=["A DOG runs!", ""]).unseen_captions == 1 / 4


def test_a_thing_is_made_up_when_the_video_has_it_under_none_of_its_names() -> None:
    truth = {
        1: {"objects": [["dog", "puppy"]], "actions": [["run", "runs"]]},
        2: {"objects": [["cat", "cats"]], "actions": ["sleeps"]},
        3: {"objects": [["cat", "cats"], "hot dog"], "actions": ["eats"]},
    }
    language = describe(predictions=PREDICTIONS | {1: "a puppy runs"}, truth=truth)
    assert language.hallucinated_objects == 1 / 4  # the dog of video 2; the hot dog of video 3 is no dog
    assert language.hallucinated_actions == 1 / 3


def test_nothing_mentioned_leaves_nothing_to_take_a_share_of() -> None:
    language = describe(predictions={1: "hello"}, truth={1: {"objects": ["dog"]}})
    assert language.hallucinated_objects is None


def test_no_predictions_are_an_error() -> None:
    with pytest.raises(DataError, match="no predictions"):
        describe(predictions={})
