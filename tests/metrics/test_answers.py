from __future__ import annotations

import numpy as np
import pytest

from pseudocap.errors import DataError
from pseudocap.metrics.answers import accuracy, majority, normalised, score_answers


def agreement(prediction: str, answers: list[str]) -> float:
    """VQAv2's rule written out: every choice of nine of the ten people."""
    found = []
    for person in range(10):
        others = answers[:person] + answers[person + 1 :]
        found.append(min(1.0, sum(other == prediction for other in others) / 3))
    return float(np.mean(found))


@pytest.mark.parametrize("agree", range(11))
def test_ten_answers_are_scored_by_agreement(agree: int) -> None:
    answers = ["yes"] * agree + ["no"] * (10 - agree)
    assert accuracy("yes", answers) == pytest.approx(agreement("yes", answers))
    assert accuracy("Yes.", answers) == accuracy("yes", answers)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("The two dogs", "2 dogs"),
        ("none", "0"),
        ("red, white", "red white"),
        ("1,000", "1000"),
        ("black/white", "black white"),
        ("don't", "dont"),
        ("3.5.", "3.5"),
        ("x;-y p-q", "x y p q"),  # - has no space beside it before ; has become one
    ],
)
def test_answers_of_vqa_are_normalised(text: str, same: str) -> None:
    assert normalised(text) == normalised(same) == same


def test_one_answer_must_be_the_same_text() -> None:
    assert accuracy("A  Dog", ["a dog"]) == 1
    assert accuracy("dog", ["a dog"]) == 0
    assert accuracy("two", ["2"]) == 0
    assert accuracy("cat", ["dog", "cat"]) == 1


def test_each_type_has_its_share_and_all_questions_theirs() -> None:
    answers = {"a#0": ["dog"], "a#1": ["two"], "b#0": ["red"], "b#1": ["cat"]}
    kinds = {"a#0": "who", "a#1": "how", "b#0": "what", "b#1": "who"}
    predictions = {"a#0": "dog", "a#1": "one", "b#0": "red", "b#1": "dog"}
    scores = score_answers(predictions=predictions, answers=answers, kinds=kinds)
    assert {kind: each.value for kind, each in scores.by_kind.items()} == {"how": 0, "what": 100, "who": 50}
    assert scores.all.value == 50
    assert scores.all.interval is None
    assert [row[0] for row in scores.rows()] == ["how", "what", "who", "all"]


def test_intervals_draw_videos_and_not_questions() -> None:
    """All questions of a video are right or wrong together, so twenty a video are as uncertain as one."""
    answers = {f"{video}#{number}": ["yes"] for video in range(10) for number in range(20)}
    predictions = {name: "yes" if int(name.split("#")[0]) % 2 else "no" for name in answers}
    videos = {name: name.split("#")[0] for name in answers}
    clustered = score_answers(predictions=predictions, answers=answers, videos=videos, bootstrap=500).all.interval
    each = score_answers(predictions=predictions, answers=answers, bootstrap=500).all.interval
    assert clustered is not None
    assert each is not None
    assert clustered.low < 50 < clustered.high
    assert clustered.high - clustered.low > 2 * (each.high - each.low)


def test_a_type_that_few_videos_have_has_an_interval_too() -> None:
    answers = {"a#0": ["x"], **{f"{video}#0": ["y"] for video in range(30)}}
    kinds = {name: "rare" if name == "a#0" else "often" for name in answers}
    scores = score_answers(predictions=dict.fromkeys(answers, "x"), answers=answers, kinds=kinds, bootstrap=100, seed=1)
    assert scores.by_kind["rare"].interval is not None
    assert scores.by_kind["rare"].interval.low == scores.by_kind["rare"].value == 100


def test_questions_without_an_answer_are_refused_or_left_out() -> None:
    answers = {"a": ["x"], "b": ["y"]}
    with pytest.raises(DataError, match=r"1 of 2 questions have no answer \(b first\)"):
        score_answers(predictions={"a": "x"}, answers=answers)
    assert score_answers(predictions={"a": "x"}, answers=answers, allow_missing=True).all.questions == 1
    with pytest.raises(DataError, match="2 of 2 questions"):
        score_answers(predictions={"c": "x"}, answers=answers, allow_missing=True)


def test_the_majority_answers_by_the_question_then_by_its_type() -> None:
    learned = [("Who runs?", "who", "dog"), ("who runs", "who", "dog"), ("who runs?", "who", "cat")]
    learned += [("who sits?", "who", "cat"), ("who lies?", "who", "cat"), ("what colour?", "colour", "red")]
    asked = {"a": ("who runs?", "who"), "b": ("who flies?", "who"), "c": ("where?", "where")}
    assert majority(learned, asked) == {"a": "dog", "b": "cat", "c": "cat"}
    with pytest.raises(DataError, match="no answer to learn from"):
        majority([], asked)
