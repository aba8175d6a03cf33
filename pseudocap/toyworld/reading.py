"""Hold what a language's captions are read by, when `truth` compares them with a scene."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

THING = "@"  # stands for everything that is named while events are looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Hold the words of a language as patterns over lower-case text without punctuation.

    `kinds` maps each form of a noun to the kinds that it may mean, `colours` each form of a colour's word to the
    colour, `ways` each phrase of direction to what it may mean. In `mention` the group `noun` is the noun; in `events`
    the group `way` is the direction, and THING whatever is named. `normalise` undoes what the language contracts.
    """

    surroundings: re.Pattern[str]
    mention: re.Pattern[str]
    kinds: Mapping[str, frozenset[str]]
    colours: Mapping[str, str]
    ways: Mapping[str, frozenset[str]]
    events: tuple[tuple[str, re.Pattern[str]], ...]
    normalise: Callable[[str], str] = str


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for one of these, the longest first."""
    return "(?:" + "|".join(sorted(set(words), key=lambda word: (-len(word), word))) + ")"
