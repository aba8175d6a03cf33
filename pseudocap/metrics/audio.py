"""Measure how much captions say of sounds: audio concept density, as VALOR defines it (section 3.4, table 1).

    audio_concept_density(["a dog barks at a train"]).density    # 33.3: "dog" and "train", two concepts in six words

A caption's concepts are the different names of sounds that stand in it, whole words, after lower-casing and without
punctuation; the density is all captions' concepts per hundred words. Concepts are the names of the AudioSet ontology's
632 classes, split at commas and brackets: 758 parts, 738 of them different. The paper counts 759 and does not print
them, which is what a split at apostrophes too gives, with the "s" of "dentist's". It leaves open whether "ring" stands
in "during": here it does not.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from pseudocap.errors import DataError

CLASSES = "audioset_classes.txt"  # whose first lines name its origin and its licence


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioConceptDensity:
    """Hold the density in per cent of the words, what it was counted from, and how many captions name each concept."""

    captions: int
    words: int
    concepts: int
    by_concept: dict[str, int]  # the most frequent first

    @property
    def density(self) -> float:
        return 100 * self.concepts / self.words

    @property
    def mean_words(self) -> float:
        return self.words / self.captions


def audio_concept_density(captions: Iterable[str]) -> AudioConceptDensity:
    """Count the concepts and the words of captions; each concept once in a caption."""
    known = audio_concepts()
    longest = max(len(concept.split()) for concept in known)
    count, words = 0, 0
    found: Counter[str] = Counter()
    for caption in captions:
        text = _plain(caption).split()
        count, words = count + 1, words + len(text)
        spans = ((first, length) for length in range(1, longest + 1) for first in range(len(text) - length + 1))
        found.update({" ".join(text[first : first + length]) for first, length in spans} & known)
    if not words:
        raise DataError("there is no caption with a word in it, so no density; name captions")
    frequent = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return AudioConceptDensity(captions=count, words=words, concepts=found.total(), by_concept=dict(frequent))


@functools.cache
def audio_concepts() -> frozenset[str]:
    """Return the names of sounds that are looked for."""
    lines = files("pseudocap.metrics").joinpath(CLASSES).read_text(encoding="utf-8").splitlines()
    names = (line for line in lines if not line.startswith("#"))
    return frozenset(plain for name in names for part in re.split(r"[,()]", name) if (plain := _plain(part)))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())
