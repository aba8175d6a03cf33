"""Options of decoding: what cannot be is refused when it is made, and rows record what older versions recorded."""

from __future__ import annotations

import json

import pytest

from pseudocap.decoding import Decoding, FileDecoding, LabelDecoding, ValidationDecoding, strip_unfinished
from pseudocap.errors import InputError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beams": 0}, "beams must be a whole number, at least 1, not 0"),
        ({"beams": True}, "beams must be a whole number, at least 1, not True"),
        ({"beams": 3, "top_p": 0.9}, r"exclude one another: leave top_p out"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0"),
        ({"repetition_penalty": -1.0}, "repetition_penalty must be above 0, not -1"),
        ({"max_new_tokens": 5.5}, "max_new_tokens must be a whole number, at least 1, not 5.5"),
        ({"min_new_tokens": -1}, "min_new_tokens must be a whole number, at least 0"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, r"min_new_tokens is 9, above max_new_tokens \(8\)"),
        ({"seed": 2**63}, "seed must be a whole number"),
    ],
)
@pytest.mark.parametrize("kind", [Decoding, FileDecoding, ValidationDecoding, LabelDecoding])
def test_options_that_cannot_be_are_refused(kind: type[Decoding], options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(**{"top_p": None, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (FileDecoding, {"batch_size": 0}, "batch_size must be a whole number, at least 1"),
        (FileDecoding, {"num_frames": 97}, "num_frames must be 1 to 96, not 97"),
        (ValidationDecoding, {"examples": -1}, "examples must be a whole number, at least 0"),
        (LabelDecoding, {"captions": 0}, "captions must be a whole number, at least 1"),
        (LabelDecoding, {"captions": 3, "top_p": None, "beams": 2}, "3 captions need as many beams"),
        (LabelDecoding, {"seed": 1}, "the seed of their run"),
    ],
)
def test_each_stage_refuses_what_is_its_own(kind: type[Decoding], options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(**options)  # type: ignore[arg-type]


def test_options_are_those_that_transformers_takes() -> None:
    assert Decoding(beams=4, seed=1).generate_options() == {
        "do_sample": False,
        "num_beams": 4,
        "max_new_tokens": 32,
        "seed": 1,
    }
    assert Decoding(top_p=0.9, temperature=0.5, min_new_tokens=10, repetition_penalty=1.1).generate_options() == {
        "do_sample": True,
        "top_p": 0.9,
        "temperature": 0.5,
        "max_new_tokens": 32,
        "min_new_tokens": 10,
        "repetition_penalty": 1.1,
        "seed": None,
    }


def test_labels_record_what_they_always_did_and_newer_options_where_they_are_set() -> None:
    first = {"top_p": 0.9, "temperature": 1.0, "beams": 1, "captions": 1, "max_new_tokens": 40, "prompt": ""}
    assert json.dumps(LabelDecoding().recorded(), sort_keys=True) == json.dumps(first, sort_keys=True)
    longer = LabelDecoding(min_new_tokens=10, repetition_penalty=1.1).recorded()
    assert longer == {**first, "min_new_tokens": 10, "repetition_penalty": 1.1}


@pytest.mark.parametrize(
    ("cut", "finished"),
    [
        ("a man rides a brown horse in a pa", "a man rides a brown horse"),
        ("a dog runs over the gr", "a dog runs"),
        ("a dog, a", "a dog"),
        ("two dogs play and", "two dogs play"),
        ("A man walks. He is we", "A man walks."),
        ("Mr. Smith walks to th", "Mr. Smith walks"),
        ("a man walks home.", "a man walks home."),
        ("do", "do"),
        ("a do", "a"),
        ("", ""),
    ],
)
def test_what_the_limit_of_tokens_cut_ends_with_a_word_that_ends_something(cut: str, finished: str) -> None:
    assert strip_unfinished(cut) == finished
