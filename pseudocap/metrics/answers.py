"""Score answers to questions: accuracy with intervals, by type of question.

    score_answers(predictions={"video7#1": "dog"}, answers={"video7#1": ["dog"]}, kinds={"video7#1": "what"}, ...)

One answer is right where it is the same text, in whatever case. Of ten, VQAv2's, each that three people gave is right,
and one that fewer gave in part: the mean over all choices of nine of them of min(1, matches / 3), after that dataset's
normalisation (punctuation, articles, numbers as digits). Apostrophes are dropped, where the released script has a list
of contractions. Videos, and not questions, are drawn again for an interval: those about one video are related.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudocap.errors import DataError
from pseudocap.metrics.measures import Measure
from pseudocap.metrics.resample import Interval, intervals
from pseudocap.questions import prompt_of

PEOPLE, ENOUGH = 10, 3  # who answer a question of VQAv2, and how many of them make an answer right
ARTICLES = frozenset({"a", "an", "the"})
DIGITS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_GROUPED, _POINT = re.compile(r"(\d),(\d)"), re.compile(r"\.(?!\d)")


def plain(answer: str) -> str:
    """Return an answer as it is compared where there is one to compare with."""
    return " ".join(answer.lower().split()).rstrip(" .")


def normalised(answer: str) -> str:
    """Return an answer as VQAv2 compares it."""
    text = given = " ".join(answer.split())
    grouped = _GROUPED.search(given) is not None
    for mark in PUNCTUATION:
        loose = f"{mark} " in given or f" {mark}" in given or grouped
        text = text.replace(mark, "" if loose else " ")
    words = _POINT.sub("", text).replace("'", "").lower().split()
    return " ".join(DIGITS.get(word, word) for word in words if word not in ARTICLES)


def accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Return how right an answer is, from 0 to 1: by agreement with ten, else as one of those that are there."""
    if len(answers) != PEOPLE:
        return float(plain(prediction) in map(plain, answers))
    given, own = [normalised(answer) for answer in answers], normalised(prediction)
    matches = given.count(own)
    return statistics.fmean(min(1.0, (matches - (each == own)) / ENOUGH) for each in given)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Hold the share of right answers x 100, to so many questions, and its interval where one was drawn."""

    value: float
    questions: int
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        interval = {} if self.interval is None else {"interval": [self.interval.low, self.interval.high]}
        return {"accuracy": self.value, "questions": self.questions, **interval}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerScores:
    """Hold the accuracy over all questions and that of each type; `right` is how right each answer is, by question."""

    all: Accuracy
    by_kind: dict[str, Accuracy]
    right: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {**self.all.to_dict(), "by_kind": {kind: each.to_dict() for kind, each in self.by_kind.items()}}

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield type, number of questions, accuracy and interval, as text; all questions come last."""
        for name, each in {**self.by_kind, "all": self.all}.items():
            interval = "" if each.interval is None else f"[{each.interval.low:.1f}, {each.interval.high:.1f}]"
            yield name, f"{each.questions:,}", f"{each.value:.1f}", interval


def score_answers(
    *,
    predictions: Mapping[str, str],
    answers: Mapping[str, Sequence[str]],
    kinds: Mapping[str, str] | None = None,
    videos: Mapping[str, str] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    allow_missing: bool = False,
) -> AnswerScores:
    """Score one answer to each question, by its id, against those that people gave.

    `kinds` and `videos` map questions to their type and their video. Questions without a prediction are an error unless
    `allow_missing`, which leaves them out. `bootstrap` is how many sets of videos are drawn for the intervals.
    """
    missing = [question for question in answers if question not in predictions]
    if missing and (not allow_missing or len(missing) == len(answers)):
        raise DataError(
            f"{len(missing):,} of {len(answers):,} questions have no answer ({missing[0]} first); answer them all, or "
            "score the rest with --allow-missing (in Python allow_missing=True)"
        )
    right = {name: accuracy(predictions[name], given) for name, given in answers.items() if name in predictions}
    return summarise(right, kinds=kinds, videos=videos, bootstrap=bootstrap, seed=seed)


def summarise(
    right: Mapping[str, float],
    *,
    kinds: Mapping[str, str] | None = None,
    videos: Mapping[str, str] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> AnswerScores:
    """Return the accuracy over all questions and of each type, of how right each answer is."""
    of_video = videos or {}

    def measured(chosen: Sequence[str]) -> Accuracy:
        values = [right[name] for name in chosen]
        drawn = None
        if bootstrap:
            drawn = _interval(values, [of_video.get(name, name) for name in chosen], samples=bootstrap, seed=seed)
        return Accuracy(value=100 * statistics.fmean(values), questions=len(chosen), interval=drawn)

    groups: dict[str, list[str]] = {}
    for name in right:
        if kind := (kinds or {}).get(name):
            groups.setdefault(kind, []).append(name)
    return AnswerScores(
        all=measured([*right]), by_kind={kind: measured(groups[kind]) for kind in sorted(groups)}, right=dict(right)
    )


def _interval(values: Sequence[float], videos: Sequence[str], *, samples: int, seed: int) -> Interval:
    sums: dict[str, list[float]] = {}
    for value, video in zip(values, videos, strict=True):
        found = sums.setdefault(video, [0.0, 0.0])
        found[0] += value
        found[1] += 1
    share = Measure(rows=lambda predictions: np.zeros((0, 2)), combine=lambda total: total[..., 0] / total[..., 1])
    return intervals([(share, np.array([*sums.values()]))], samples=samples, seed=seed)[0]


def majority(learned: Sequence[tuple[str, str, str]], asked: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Answer questions without the video: as most often to the same question in training, else to one of its type, else
    to any. `learned` are (question, type, answer), `asked` (question, type) by id."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for question, kind, answer in learned:
        for key in _by_likeness(question, kind):
            counts.setdefault(key, Counter())[answer] += 1
    if not counts:
        raise DataError("there is no answer to learn from; give questions of a training split")
    found = {}
    for name, (question, kind) in asked.items():
        counted = next(counts[key] for key in _by_likeness(question, kind) if key in counts)
        found[name] = min(counted, key=lambda answer: (-counted[answer], answer))
    return found


def _by_likeness(question: str, kind: str) -> tuple[tuple[str, str], ...]:
    return ("question", prompt_of(question)), ("type", kind), ("any", "")
