"""Count how many words of transcripts are wrong: word error rate, with an interval over texts.

    word_errors({"film": "a dog run"}, {"film": "A dog runs."}).rate    # 33.3

The rate is what must be replaced, left out and put in to make the words of the transcripts those of the references, per
hundred words of the references. Both are first written alike by Whisper's own normaliser of English (numbers as digits,
contractions in full, no punctuation), of another language in lower case and without punctuation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudocap.errors import DataError
from pseudocap.metrics.measures import Measure
from pseudocap.metrics.references import Floats
from pseudocap.metrics.resample import Interval, intervals


@dataclass(frozen=True, kw_only=True, slots=True)
class TextErrors:
    """Hold one text as it is compared, and its errors; `put_in` where there is no speech is all that was heard."""

    name: str
    reference: tuple[str, ...]
    found: tuple[str, ...]
    replaced: int
    left_out: int
    put_in: int

    @property
    def errors(self) -> int:
        return self.replaced + self.left_out + self.put_in


@dataclass(frozen=True, kw_only=True, slots=True)
class WordErrors:
    """Hold the rate in per cent, its interval, and every text."""

    texts: tuple[TextErrors, ...]
    interval: Interval

    @property
    def words(self) -> int:
        return sum(len(text.reference) for text in self.texts)

    @property
    def rate(self) -> float:
        return 100 * sum(text.errors for text in self.texts) / self.words

    @property
    def exact(self) -> int:
        """Count the texts without an error."""
        return sum(not text.errors for text in self.texts)


def word_errors(
    found: Mapping[str, str],
    references: Mapping[str, str],
    *,
    language: str = "en",
    samples: int = 1000,
    seed: int = 0,
) -> WordErrors:
    """Compare the text of every name in `references`; one that was not found is an error, an empty one is silence."""
    if missing := [name for name in references if name not in found]:
        raise DataError(f"{len(missing):,} of {len(references):,} texts have no transcript, {missing[0]!r} first")
    plain = normaliser(language)

    def words(text: str) -> list[str]:
        return [word for word in plain(text).split() if any(map(str.isalnum, word))]  # of dots some are left

    texts = tuple(_compare(name, words(text), words(found[name])) for name, text in references.items())
    if not any(text.reference for text in texts):
        raise DataError("the references have no words, so no rate of errors; name texts of speech")
    rows = np.array([[text.errors, len(text.reference)] for text in texts], float)
    (interval,) = intervals([(Measure(rows=lambda _: rows, combine=_share), rows)], samples=samples, seed=seed)
    return WordErrors(texts=texts, interval=interval)


def normaliser(language: str) -> Callable[[str], str]:
    """Return what writes texts of a language alike."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    made: Any = EnglishTextNormalizer({}) if language == "en" else BasicTextNormalizer()
    return lambda text: str(made(text))


def _share(totals: Floats) -> Floats:
    return totals[..., 0] / np.maximum(totals[..., 1], 1)


def _compare(name: str, reference: Sequence[str], found: Sequence[str]) -> TextErrors:
    """Align two texts with as few errors as possible (Levenshtein): each cell has (errors, replaced, left out, in)."""
    row = [(put, 0, 0, put) for put in range(len(found) + 1)]
    for done, word in enumerate(reference, start=1):
        before, row = row, [(done, 0, done, 0)]
        for column, other in enumerate(found):
            replaced, left_out, put_in = before[column], before[column + 1], row[column]
            row.append(
                min(
                    replaced if word == other else (replaced[0] + 1, replaced[1] + 1, *replaced[2:]),
                    (left_out[0] + 1, left_out[1], left_out[2] + 1, left_out[3]),
                    (put_in[0] + 1, *put_in[1:3], put_in[3] + 1),
                )
            )
    counts = row[-1]
    return TextErrors(
        name=name,
        reference=tuple(reference),
        found=tuple(found),
        replaced=counts[1],
        left_out=counts[2],
        put_in=counts[3],
    )
