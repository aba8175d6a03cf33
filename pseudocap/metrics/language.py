"""Describe the language of captions, beside their scores: how varied, how long, and how much they make up.

A system that writes "a man is talking" for every video can have a fair score; these figures reveal it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pseudocap.errors import DataError
from pseudocap.metrics.tokenize import tokenize

# What is in a video: {"objects": [...], "actions": [...]}. A thing is a word, or a list of its forms and synonyms.
Things = Sequence[str | Sequence[str]]
Truth = Mapping[str, Things]
KINDS = ("objects", "actions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """Hold the figures. Shares are from 0 to 1; None where not requested, or with nothing to take a share of."""

    captions: int
    mean_length: float  # in tokens
    vocabulary: int  # different words
    distinct_1: float  # different words per word
    distinct_2: float  # different pairs of neighbours per pair
    distinct_captions: float
    unseen_captions: float | None = None  # not among the training captions
    hallucinated_objects: float | None = None  # of the objects mentioned, those that are not in the video
    hallucinated_actions: float | None = None


def describe(
    *, predictions: Mapping[Any, str], training: Collection[str] | None = None, truth: Mapping[Any, Truth] | None = None
) -> Language:
    """Measure variety, length and made-up things. `training`: the captions learned from; `truth`: what videos contain.

    A thing counts as made up when the caption names it and the truth of that video does not list it; things that the
    truth of no video lists are not noticed. Videos without a truth do not count.
    """
    if not predictions:
        raise DataError("there are no predictions to describe; give {video: caption}")
    texts = {video: tokenize(text) for video, text in predictions.items()}
    rows = [text.split() for text in texts.values()]
    words = Counter(word for row in rows for word in row)
    pairs = Counter(pair for row in rows for pair in pairwise(row))
    seen = None if training is None else {tokenize(text) for text in training}
    hallucinated = {kind: None if truth is None else _hallucinated(texts, truth, kind) for kind in KINDS}
    return Language(
        captions=len(rows),
        mean_length=words.total() / len(rows),
        vocabulary=len(words),
        distinct_1=len(words) / max(1, words.total()),
        distinct_2=len(pairs) / max(1, pairs.total()),
        distinct_captions=len(set(texts.values())) / len(texts),
        unseen_captions=None if seen is None else sum(text not in seen for text in texts.values()) / len(texts),
        hallucinated_objects=hallucinated["objects"],
        hallucinated_actions=hallucinated["actions"],
    )


def _hallucinated(texts: Mapping[Any, str], truth: Mapping[Any, Truth], kind: str) -> float | None:
    """Return the share of mentions not in the video; a thing counts once a caption, however often it is named."""
    names = {
        form: _forms(thing)[0] for things in truth.values() for thing in things.get(kind, ()) for form in _forms(thing)
    }
    longest_first = sorted(names, key=len, reverse=True)  # a hot dog is not also a dog
    mentions = made_up = 0
    for video, things in truth.items():
        padded, named = f" {texts.get(video, '')} ".replace(" ", "  "), set()
        for form in longest_first:
            spelled = f" {form.replace(' ', '  ')} "
            if spelled in padded:
                named.add(names[form])
                padded = padded.replace(spelled, " | ")
        there = {names[_forms(thing)[0]] for thing in things.get(kind, ())}
        mentions += len(named)
        made_up += len(named - there)
    return made_up / mentions if mentions else None


def _forms(thing: str | Sequence[str]) -> list[str]:
    return [tokenize(form) for form in ([thing] if isinstance(thing, str) else thing)]
