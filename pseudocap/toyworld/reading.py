"""Hold what a language's captions are read by, when `truth` compares them with a scene."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pseudocap.toyworld.lexicon import Weighted

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


def meanings(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Map each form to all that it is paired with."""
    found: dict[str, set[str]] = {}
    for form, meant in pairs:
        found.setdefault(form, set()).add(meant)
    return {form: frozenset(meant) for form, meant in found.items()}


def directions(*tables: Mapping[str, Weighted]) -> Iterator[tuple[str, str]]:
    """Yield each phrase of direction, in lower case, with what it means."""
    for table in tables:
        for direction, options in table.items():
            for _, phrase in options:
                yield phrase.lower(), direction
