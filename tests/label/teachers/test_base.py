"""Answers in order, with a confidence; a teacher that is built where it captions."""

from __future__ import annotations

import math
import pickle
from functools import partial

import pytest

from pseudocap.errors import ConfigError
from pseudocap.label.teachers.base import Answer, LateTeacher, NullTeacher, View
from pseudocap.types import Clip


def test_the_likeliest_caption_comes_first_and_its_tokens_give_the_confidence() -> None:
    answer = Answer.ranked([("a cat", -9.0, 3), ("a dog", 2 * math.log(0.25), 2), ("a cow", -8.0, 1)])
    assert answer.captions == ("a dog", "a cow", "a cat")
    assert answer.log_probs == (2 * math.log(0.25), -8.0, -9.0)
    assert answer.tokens == (2, 1, 3)
    assert answer.confidence == pytest.approx(0.25)
    assert Answer(captions=("a",)).confidence is None
    assert Answer(captions=("a",), confidence=0.5).confidence == 0.5  # of a teacher that knows it otherwise


def test_a_late_teacher_is_built_where_it_captions_first() -> None:
    late = pickle.loads(pickle.dumps(LateTeacher(NullTeacher(), partial(NullTeacher, short_side=384))))
    view = View(clip=Clip(source="a.mp4", start=8.0, end=16.0), frames=None, key=0)
    assert late.caption([view]) == NullTeacher().caption([view])


def test_a_late_teacher_that_comes_out_differently_is_refused() -> None:
    late = LateTeacher(NullTeacher(), partial(NullTeacher, settings={"dtype": "bfloat16"}))
    with pytest.raises(ConfigError, match=r"the machines differ: the teacher's settings is \{\}.*bfloat16"):
        late.caption([])
