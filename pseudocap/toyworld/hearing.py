"""Write captions of what is heard: beside what is seen, as VALOR's, and alone, as AudioCaps'."""

from __future__ import annotations

import numpy as np

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.grammar import Choice, Manner, caption
from pseudocap.toyworld.scenes import Film
from pseudocap.toyworld.sounds import SoundEvent, Soundtrack

LISTENERS = Manner(part=0.02, both=0.4, location=0.15, bystander=0.04, camera=0.08, speed=0.03)  # who listen, too
MENTIONED = 0.9  # the share of captions that say what is heard, where anything is
TWO = 0.45  # and of these, the share that name two sounds


def audiovisual_references(film: Film, track: Soundtrack, count: int, rng: np.random.Generator) -> list[str]:
    """Return captions of what is seen and heard, each written independently."""
    return [_audiovisual(film, track, Choice(rng)) for _ in range(count)]


def sound_references(track: Soundtrack, count: int, rng: np.random.Generator) -> list[str]:
    """Return captions of what is heard alone; none where nothing is."""
    return [_sounds_alone(track, Choice(rng)) for _ in range(count)] if track.noises else []


def _audiovisual(film: Film, track: Soundtrack, choice: Choice) -> str:
    sentence = caption(film, choice, LISTENERS)
    if not track.noises or not choice.chance(MENTIONED):
        return sentence
    named = " and ".join(choice.of(lexicon.HEARD[noise.name]) for noise in _noticed(track, choice))
    return choice.of(lexicon.HEARING).format(sentence, named)


def _sounds_alone(track: Soundtrack, choice: Choice) -> str:
    noticed = _noticed(track, choice)
    words = [choice.of(lexicon.HEARD[noise.name]) for noise in noticed]
    if len(words) == 1:
        return choice.of(lexicon.LISTENING).format(*words)
    after = noticed[0].end <= noticed[1].start
    return choice.of(lexicon.AFTER if after else lexicon.AT_ONCE).format(*words)


def _noticed(track: Soundtrack, choice: Choice) -> list[SoundEvent]:
    """Choose one sound or two, the louder the more often, in the order in which they begin."""
    left = {noise.name: noise for noise in reversed(track.noises)}  # each once, as it begins
    chosen = []
    for _ in range(1 + (len(left) > 1 and choice.chance(TWO))):
        loudness = tuple((max(noise.loudness, noise.final), name) for name, noise in left.items())
        chosen.append(left.pop(choice.of(loudness)))
    return sorted(chosen, key=lambda noise: noise.start)
