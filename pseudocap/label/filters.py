"""Judge a caption by its text; what is seen in its clip is judged in looks.py.

Rows are kept with their verdicts: who trains decides.

Verdicts: `empty`, `short`, `long` (in words), `repeated` (an n-gram repeated over and over, where decoding got stuck),
`duplicate` (an earlier clip of the same video has the same caption), `word:X` (X is on the user's list), and of the
frames `black`, `static` and `text`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from pseudocap.errors import ConfigError

TEXT_VERDICTS = ("empty", "short", "long", "repeated", "duplicate")  # and word:X
_LATER = ("min_light", "min_motion", "max_text")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Limit what passes. `repeats` is how often one n-gram of `ngram` words may occur; 0 switches a filter off.

    `min_light` is of the mean of a clip's frames, `min_motion` of the mean difference between them, `max_text` of the
    share of them that looks like text, all from 0 to 1.
    """

    min_words: int = 3
    max_words: int = 50
    ngram: int = 3
    repeats: int = 2
    duplicates: bool = True
    words: tuple[str, ...] = ()
    min_light: float = 0.0
    min_motion: float = 0.0
    max_text: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_words", "max_words", "repeats"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)} and must be 0 (off) or more")
        if self.max_words and self.max_words < self.min_words:
            raise ConfigError(f"max_words is {self.max_words} and must not be below min_words ({self.min_words})")
        for name in _LATER:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name):g} and must be 0 (off) or more, and below 1")
        if self.ngram < 1:
            raise ConfigError(f"ngram is {self.ngram} and must be at least 1")

    def recorded(self) -> dict[str, object]:
        """Return what a run records. Filters of later versions are recorded where they are on, so that runs from before
        them can be resumed."""
        return {name: value for name, value in asdict(self).items() if value or name not in _LATER}


def is_of_text(verdict: str) -> bool:
    """Return whether a verdict is on a caption's text; others stay with a row, also where captions are judged anew."""
    return verdict in TEXT_VERDICTS or verdict.startswith("word:")


def words_of(caption: str) -> list[str]:
    """Return the words of a caption in lower case, without marks."""
    return _WORD.findall(caption.lower())


def verdicts(captions: Sequence[str | None], filters: Filters) -> list[tuple[str, ...]]:
    """Return the objections to each caption of a video, in the order of clips. None stands for a clip without caption,
    which has failed and needs no verdict."""
    seen: set[tuple[str, ...]] = set()
    found: list[tuple[str, ...]] = []
    for caption in captions:
        if caption is None:
            found.append(())
            continue
        words = tuple(words_of(caption))
        objections = list(_alone(words, filters))
        if filters.duplicates and words and words in seen:
            objections.append("duplicate")
        seen.add(words)
        found.append(tuple(objections))
    return found


def _alone(words: tuple[str, ...], filters: Filters) -> Iterable[str]:
    if not words:
        yield "empty"
        return
    if len(words) < filters.min_words:
        yield "short"
    if filters.max_words and len(words) > filters.max_words:
        yield "long"
    grams = Counter(words[first : first + filters.ngram] for first in range(len(words) - filters.ngram + 1))
    if filters.repeats and max(grams.values(), default=0) > filters.repeats:
        yield "repeated"
    for listed in filters.words:
        phrase = tuple(words_of(listed))
        if phrase and any(words[first : first + len(phrase)] == phrase for first in range(len(words))):
            yield f"word:{listed}"
