"""Decide what sounds in a film: what its things do, voices, what is not in the picture, music; and mix it.

A soundtrack is drawn from a generator of its own, so films and words have none of its draws. In space nothing sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pseudocap.toyworld.actions import Event, events
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.scenes import FPS, TICKS, Film, Shot
from pseudocap.toyworld.synthesis import RATE, hiss, waveform

Rng = np.random.Generator
SILENT = 0.1  # the share of films without a track
MUSIC, VOICE, BYSTANDER_VOICE, OFF_SCREEN = 0.15, 0.4, 0.15, 0.3  # chances: of a film; of an actor; of a shot
AIRLESS = "space"
HISS = 0.002  # of the microphone

BY_KIND = {
    **dict.fromkeys(("car", "truck", "bus", "tractor"), "engine"),
    **dict.fromkeys(("plane", "rocket"), "jet"),
    **dict.fromkeys(("ghost", "balloon", "kite", "cloud"), "whoosh"),
    **{"train": "train", "helicopter": "rotor", "robot": "beeping", "crane": "whirring", "hand": "rustling"},
}
BY_MOTION = {
    "sail": "splashing", "fly": "flapping", "swim": "splashing", "walk": "footsteps", "hop": "footsteps",
    "crawl": "rustling", "roll": "rolling", "slide": "scraping",
}  # fmt: skip
BY_EVENT = {
    "roll": "rolling", "bounce": "thumping", "jump": "springing", "jump over": "springing", "fall over": "crash",
    "drop": "crash", "stand up": "whoosh", "shoot up": "whoosh", "spin": "whirring", "grow": "rising",
    "shrink": "falling", "vanish": "chime", "appear": "chime", "turn colour": "chime", "open": "creaking",
    "close": "creaking", "light up": "clicking", "go dark": "clicking", "shake": "rattling", "split": "popping",
    "join": "popping", "push": "scraping", "pull": "scraping", "hit": "knocking", "pour": "pouring",
    "suck out": "pouring", "eat": "crunching", "spit out": "crunching",
}  # fmt: skip
VOICES = {"dog": "barking", "cat": "mewing", "bird": "chirping", "duck": "quacking", "clock": "ticking"}
UNSEEN = ("bell", "siren", "thunder", "rain", "honking", "knocking", "barking", "mewing", "chirping", "ticking")
SWELLS = {"come closer": (0.3, 1.0), "go away": (1.0, 0.3)}  # loudness at the start and at the end
PARTS = {"stop": (0.0, 0.5), "start": (0.5, 1.0)}  # of the event, when the thing moves


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundEvent:
    """Describe one sound: `start` and `end` in ticks of the film, `thing` an index in its shot, None off screen.

    `loudness` is 0 to 1 at its start, `final` at its end.
    """

    name: str
    start: int
    end: int
    loudness: float
    final: float
    pitch: float
    seed: int
    thing: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Soundtrack:
    """Hold the sounds of a film, in the order in which they begin; a `silent` film has no track at all."""

    noises: tuple[SoundEvent, ...] = ()
    silent: bool = False
    ticks: int
    seed: int

    @property
    def heard(self) -> frozenset[str]:
        """Return the names of what sounds."""
        return frozenset(noise.name for noise in self.noises)


def draw_soundtrack(film: Film, rng: Rng) -> Soundtrack:
    """Draw what sounds in a film."""
    ticks, seed = film.frames * TICKS, int(rng.integers(2**31))
    if rng.random() < SILENT:
        return Soundtrack(silent=True, ticks=ticks, seed=seed)
    noises: list[SoundEvent] = []
    first = 0
    for shot in film.shots:
        if shot.background != AIRLESS:
            noises += _of_shot(shot, first, rng)
        first += shot.ticks
    if rng.random() < MUSIC:
        noises.append(_noise("music", 0, ticks, float(rng.uniform(0.15, 0.4)), rng))
    return Soundtrack(noises=tuple(sorted(noises, key=lambda each: each.start)), ticks=ticks, seed=seed)


def sound_of_event(shot: Shot, event: Event) -> str:
    """Name what an event sounds like: the event itself, or else its actor's way to move."""
    kind = shot.things[event.actor].kind
    return BY_EVENT.get(event.name) or BY_KIND.get(kind) or BY_MOTION[KINDS[kind].goes]


def _of_shot(shot: Shot, first: int, rng: Rng) -> Iterator[SoundEvent]:
    happening = events(shot)
    for event in happening:
        begin, end = (
            first + round(event.start + part * (event.end - event.start)) for part in PARTS.get(event.name, (0, 1))
        )
        loudness = _loudness(shot, event.actor)
        swell = SWELLS.get(event.name, (1.0, 1.0))
        yield _noise(
            sound_of_event(shot, event),
            begin,
            end,
            loudness * swell[0],
            rng,
            final=loudness * swell[1],
            thing=event.actor,
        )
    acting = {event.actor for event in happening}
    for index, thing in enumerate(shot.things):
        if thing.kind in VOICES and rng.random() < (VOICE if index in acting else BYSTANDER_VOICE):
            yield _somewhere(VOICES[thing.kind], shot, first, _loudness(shot, index), rng, thing=index)
    if rng.random() < OFF_SCREEN:
        visible = {VOICES.get(thing.kind) for thing in shot.things}
        name = str(rng.choice([each for each in UNSEEN if each not in visible]))
        yield _somewhere(name, shot, first, float(rng.uniform(0.25, 0.6)), rng)


def _loudness(shot: Shot, index: int) -> float:
    """Return how loud a thing is: the larger and the nearer, the louder."""
    return float(np.clip(2 * shot.things[index].height, 0.3, 0.9))


def _somewhere(name: str, shot: Shot, first: int, loudness: float, rng: Rng, *, thing: int | None = None) -> SoundEvent:
    length = int(shot.ticks * rng.uniform(0.25, 0.5))
    start = first + int(rng.integers(0, shot.ticks - length + 1))
    return _noise(name, start, start + length, loudness, rng, thing=thing)


def _noise(
    name: str, start: int, end: int, loudness: float, rng: Rng, *, final: float | None = None, thing: int | None = None
) -> SoundEvent:
    return SoundEvent(
        name=name,
        start=start,
        end=end,
        loudness=round(loudness, 4),
        final=round(loudness if final is None else final, 4),
        pitch=round(float(2 ** rng.uniform(-0.25, 0.25)), 4),
        seed=int(rng.integers(2**31)),
        thing=thing,
    )


def waves_of(track: Soundtrack) -> Iterator[tuple[SoundEvent, int, np.ndarray]]:
    """Yield each sound of a track, the sample at which it begins, and its samples as loud as it is."""
    for event in track.noises:
        start, end = (tick * RATE // (FPS * TICKS) for tick in (event.start, event.end))
        length = max(end - start, 1)
        wave = waveform(event.name, length, event.pitch, event.seed)
        yield event, start, wave * np.linspace(event.loudness, event.final, length, dtype=np.float32)


def mix(track: Soundtrack, waves: Iterable[tuple[SoundEvent, int, np.ndarray]]) -> np.ndarray:
    """Add the sounds of a track, float32 [samples] at RATE, as long as its film, over a microphone's hiss."""
    count = track.ticks * RATE // (FPS * TICKS)
    mixed = hiss(count, np.random.default_rng(track.seed)) * np.float32(HISS)
    for _, start, wave in waves:
        mixed[start : start + len(wave)] += wave[: count - start]
    return np.tanh(mixed)


def sound_of(track: Soundtrack) -> np.ndarray | None:
    """Return what is heard in a film, float32 [samples] at RATE; None of a silent one."""
    return None if track.silent else mix(track, waves_of(track))
