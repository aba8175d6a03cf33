"""Read captions in English by the words of `lexicon`."""

from __future__ import annotations

import re
from functools import cache

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.lexicon import inflect, plural
from pseudocap.toyworld.reading import THING, Reading, any_of, directions, meanings
from pseudocap.toyworld.scenes import COLOURS

FORMS = ("base", "s", "ing", "past")
ADJECTIVES = ("small", "little", "big", "large", "striped", "dotted", "checked", "shiny", "wooden", "plain")
DETERMINERS = "(?:an|a|the|two)"


@cache
def reading() -> Reading:
    """Return how `truth` reads English."""
    return Reading(
        surroundings=_surroundings(),
        mention=_mention(),
        kinds=_nouns(),
        colours={colour: colour for colour in COLOURS} | {"gray": "grey"},
        ways=_ways(),
        events=_patterns(),
    )


def _surroundings() -> re.Pattern[str]:
    phrases = [phrase for options in lexicon.LOCATIONS.values() for _, phrase in options]
    phrases += [f"with {kind.detail}" for kind in KINDS.values() if kind.detail]
    phrases += [r"(?:as|while) the camera \w+ (?:to the )?(?:left|right)"]
    return re.compile(rf"\b{any_of(phrases)}\b")


@cache
def _nouns() -> dict[str, frozenset[str]]:
    """Map each noun to the kinds that it may mean."""
    return meanings(
        (form, name)
        for name, kind in KINDS.items()
        for noun in (*kind.nouns, kind.group)
        for form in (noun, plural(noun))
    )


@cache
def _mention() -> re.Pattern[str]:
    return re.compile(rf"\b{DETERMINERS} (?:{any_of((*ADJECTIVES, *COLOURS, 'gray'))} )*(?P<noun>{any_of(_nouns())})\b")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, _pattern(phrase)) for name, options in lexicon.EVENTS.items() for _, phrase in options)


def _pattern(phrase: str) -> re.Pattern[str]:
    goes = sorted({verb for options in lexicon.GOES.values() for _, verb in options})
    parts = []
    for word in phrase.removeprefix("of other:").split():
        verb = re.fullmatch(r"\[(.+)\]", word)
        if verb:
            verbs = goes if verb[1] == "{goes}" else [verb[1]]
            parts.append(any_of(inflect(each, form) for each in verbs for form in FORMS))
        elif word in ("{way}", "{turn}"):
            parts.append(r"(?:backwards )?(?P<way>" + any_of(_ways()) + ")")
        elif word == "{side}":
            parts.append("(?P<way>left|right)")
        elif word in ("{other}", "{by}"):
            parts.append(THING)
        elif word in ("{to}", "{from}"):
            parts.append(any_of((*COLOURS, "gray")))
        elif word == "{is}":
            parts.append(r"(?:is|are|was|were|being)(?: being)?")
        else:
            parts.append(re.escape(word))
    return re.compile(rf"(?<!\S){' '.join(parts)}(?!\S)")


@cache
def _ways() -> dict[str, frozenset[str]]:
    """Map each phrase of direction to what it may mean: turning "to the right" is turning clockwise."""
    return meanings(directions(lexicon.WAYS, lexicon.TURNS))
