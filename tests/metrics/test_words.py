from __future__ import annotations

import random

import pytest
from torchmetrics.functional.text import word_error_rate

from pseudocap.errors import DataError
from pseudocap.metrics.words import word_errors


def test_errors_are_of_three_kinds() -> None:
    result = word_errors({"a": "the dog runs fast home", "b": ""}, {"a": "A dog runs home.", "b": "it barks"})
    first, second = result.texts
    assert (first.replaced, first.left_out, first.put_in) == (1, 0, 1)
    assert (second.replaced, second.left_out, second.put_in) == (0, 2, 0)
    assert result.rate == pytest.approx(100 * 4 / 6)
    assert (result.words, result.exact) == (6, 0)
    assert result.interval.low <= result.rate <= result.interval.high


def test_the_rate_is_that_of_torchmetrics() -> None:
    draw = random.Random(0)
    texts = {str(n): " ".join(draw.choices("abcde", k=draw.randint(1, 12))) for n in range(40)}
    found = {name: " ".join(draw.choices("abcde", k=draw.randint(0, 12))) for name in texts}
    rate = float(word_error_rate([found[name] for name in texts], list(texts.values())))
    assert word_errors(found, texts, language="xx").rate == pytest.approx(100 * rate)


def test_english_is_compared_as_it_is_spoken() -> None:
    found = {"a": "Please press 1, I'm on extension 23."}
    assert word_errors(found, {"a": "please press one i am on extension twenty-three"}).rate == 0
    assert word_errors({"a": "To leave the conference."}, {"a": "... to leave the conference ..."}).rate == 0
    assert word_errors({"a": "Hund läuft!"}, {"a": "hund läuft"}, language="de").exact == 1


def test_a_text_without_speech_counts_what_was_put_in() -> None:
    result = word_errors({"a": "hello", "b": "you"}, {"a": "hello", "b": ""})
    assert (result.rate, result.texts[1].put_in) == (100.0, 1)


def test_missing_and_empty_texts_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 2 texts have no transcript, 'b' first"):
        word_errors({"a": "x"}, {"a": "x", "b": "y"})
    with pytest.raises(DataError, match="the references have no words"):
        word_errors({"a": "x"}, {"a": ""})
