"""Judge whether a caption is true of a film: every caption of the toy world can be compared with the exact scene.

A caption is read by the grammar's own words: the things that it names, with their colours, and the events, with their
direction. What it leaves out is no error, and words that the grammar does not know are ignored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.actions import Event, events
from pseudocap.toyworld.languages.table import language_of
from pseudocap.toyworld.reading import THING, Reading, any_of
from pseudocap.toyworld.scenes import Film, Shot


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Hold what a caption states and what of it is wrong, each in the caption's own words."""

    things: tuple[str, ...]
    wrong_things: tuple[str, ...]
    wrong_colours: tuple[str, ...]
    events: tuple[str, ...]
    wrong_events: tuple[str, ...]
    wrong_ways: tuple[str, ...]  # the right event the wrong way round
    sounds: tuple[str, ...] = ()
    wrong_sounds: tuple[str, ...] = ()

    @property
    def things_right(self) -> bool:
        """Return whether it names something, and all that it names is in the scene in the stated colours."""
        return bool(self.things) and not self.wrong_things and not self.wrong_colours

    @property
    def sounds_right(self) -> bool:
        """Return whether it names a sound, and all that it names are heard."""
        return bool(self.sounds) and not self.wrong_sounds

    @property
    def correct(self) -> bool:
        return self.things_right and not (self.wrong_events or self.wrong_ways or self.wrong_sounds)


def judge(
    caption: str, shots: Sequence[Shot], heard: Collection[str] | None = None, *, language: str = "en"
) -> Verdict:
    """Compare a caption with the shots that it describes, and with the names of what is heard in them; without these,
    no sound is wrong. Only captions in English say what is heard."""
    reading = language_of(language).reading()
    text = " ".join(re.findall(r"[\w'-]+", unicodedata.normalize("NFC", caption).lower()))
    text, sounds = _without_sounds(text) if language == "en" else (reading.normalise(text), [])
    # Without locations, parts and camera moves: their nouns and directions are no claim about a thing.
    text = reading.surroundings.sub(" ", text)
    text = " ".join(text.split())
    things, wrong_things, wrong_colours = [], [], []
    for mention, kinds, colour in _mentions(text, reading):
        things.append(mention)
        there = [thing for shot in shots for thing in shot.things if thing.kind in kinds]
        if not there:
            wrong_things.append(mention)
        elif colour and not any(colour in (thing.colour, thing.becomes) for thing in there):
            wrong_colours.append(mention)
    happens = [event for shot in shots for event in events(shot)]
    stated, wrong, reversed_ = [], [], []
    for span, candidates, ways in _stated_events(text, reading):
        stated.append(span)
        same = [event for event in happens if event.name in candidates]
        if not same:
            wrong.append(span)
        elif ways and not any(_goes(event, ways) for event in same):
            reversed_.append(span)
    return Verdict(
        things=tuple(things),
        wrong_things=tuple(wrong_things),
        wrong_colours=tuple(wrong_colours),
        events=tuple(stated),
        wrong_events=tuple(wrong),
        wrong_ways=tuple(reversed_),
        sounds=tuple(sounds),
        wrong_sounds=() if heard is None else tuple(words for words in sounds if _phrases().get(words) not in heard),
    )


def judge_sounds(caption: str, heard: Collection[str]) -> Verdict:
    """Compare a caption of sounds alone, in which nothing is seen, with the names of what is heard."""
    text = " ".join(re.findall(r"[\w'-]+", caption.lower()))
    return judge(f"with the sound of {' and '.join(_any_sound().findall(text)) or text}", (), heard)


def shots_between(film: Film, start: float, end: float, fps: int) -> tuple[Shot, ...]:
    overlapping, first = [], 0.0
    for shot in film.shots:
        last = first + shot.frames / fps
        if first < end and last > start:
            overlapping.append(shot)
        first = last
    return tuple(overlapping)


def _goes(event: Event, meant: frozenset[str]) -> bool:
    """Return whether an event has one of the directions meant; what enters is described by where it comes from."""
    way = {"left": "right", "right": "left"}.get(event.direction) if event.name == "enter" else event.direction
    return way in meant or way not in (*lexicon.WAYS, *lexicon.TURNS)


@cache
def _phrases() -> dict[str, str]:
    """Map each phrase for a sound to its name."""
    return {phrase: name for name, options in lexicon.HEARD.items() for _, phrase in options}


@cache
def _any_sound() -> re.Pattern[str]:
    return re.compile(rf"\b{any_of(_phrases())}\b")


@cache
def _hearing() -> re.Pattern[str]:
    """Match what a caption says is heard, with the words that name it: sounds of the grammar, or else up to the end."""
    sounds = rf"{any_of(_phrases())}(?: and {any_of(_phrases())})*"
    return re.compile(
        rf"\b(?:with|to) the sound of (?P<of>{sounds}\b|.*)|\b(?:while|and) (?P<while>{sounds}) can be heard\b"
        rf"|\b(?:while|and) (?P<other>(?:(?!while|and).)*) can be heard\b"
    )


def _without_sounds(text: str) -> tuple[str, list[str]]:
    """Return a caption without what it says is heard, and the words for each sound."""
    sounds: list[str] = []
    for found in _hearing().finditer(text):
        named = found["of"] or found["while"] or found["other"] or ""
        sounds += _any_sound().findall(named) or [named]
    return _hearing().sub(" ", text), sounds


def _mentions(text: str, reading: Reading) -> Iterable[tuple[str, frozenset[str], str]]:
    """Yield (the words, the kinds that they may mean, the colour or nothing) of everything that is named."""
    for found in reading.mention.finditer(text):
        colours = [reading.colours[word] for word in found[0].split() if word in reading.colours]
        yield found[0], reading.kinds[found["noun"]], colours[0] if colours else ""


def _stated_events(text: str, reading: Reading) -> Iterable[tuple[str, frozenset[str], frozenset[str]]]:
    """Yield (the words, the events, the directions that they may mean), the longest reading of every stretch."""
    named = [words for words, _, _ in _mentions(text, reading)]
    text = reading.mention.sub(THING, text)
    readings = [
        (found.start(), found.end(), name, found.groupdict().get("way"))
        for name, pattern in reading.events
        for found in pattern.finditer(text)
    ]
    spans = {(start, end) for start, end, _, _ in readings}
    widest = {
        (start, end)
        for start, end in spans
        if not any(first <= start and end <= last and (first, last) != (start, end) for first, last in spans)
    }
    for start, end in sorted(widest):
        same = [(name, way) for first, last, name, way in readings if (first, last) == (start, end)]
        meant = [reading.ways.get(way, frozenset([way])) for _, way in same if way]
        words = text[start:end]
        for thing in named[text[:start].count(THING) :][: words.count(THING)]:
            words = words.replace(THING, thing, 1)
        yield words, frozenset(name for name, _ in same), frozenset().union(*meant)
