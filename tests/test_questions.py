from __future__ import annotations

import pytest

from pseudocap.errors import InputError
from pseudocap.questions import form_of, listed, prompt_of


def test_questions_differ_in_words_alone() -> None:
    given = ("What is the man  doing?", "what is the man doing", " what is the man doing ? ")
    assert {prompt_of(question) for question in given} == {"what is the man doing?"}


def test_the_form_is_the_first_word_that_asks() -> None:
    questions = ("who runs?", "in what room is he?", "How many dogs?", "is it red?")
    assert [form_of(question) for question in questions] == ["who", "what", "how", "other"]


@pytest.mark.parametrize("question", ["", "  ", "?!", " . "])
def test_a_question_without_words_is_refused(question: str) -> None:
    with pytest.raises(InputError, match="has no words; write one"):
        prompt_of(question)


def test_one_question_is_a_list_of_one_and_none_is_refused() -> None:
    assert listed("Who?") == ["who?"]
    assert listed(["who?", "what"]) == ["who?", "what?"]
    with pytest.raises(InputError, match="there is no question"):
        listed([])
