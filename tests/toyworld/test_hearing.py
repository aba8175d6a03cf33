"""Check the captions of what is heard: true of their own film, hardly ever of another, and worth listening for."""

from __future__ import annotations

import numpy as np

from pseudocap.toyworld.corpora import captions_at, film_at, sound_captions_at, soundtrack_at
from pseudocap.toyworld.hearing import sound_references
from pseudocap.toyworld.sounds import SoundEvent, Soundtrack
from pseudocap.toyworld.truth import judge, judge_sounds

FILMS = range(120)
HEARD = {index: soundtrack_at("valor", "test", index, seed=0).heard for index in FILMS}


def test_all_that_the_crowd_sees_and_hears_is_true() -> None:
    naming = 0
    for index in FILMS:
        shots = film_at("valor", "test", index, seed=0).shots
        for text in captions_at("valor", "test", index, seed=0):
            verdict = judge(text, shots, HEARD[index])
            assert verdict.correct, (text, verdict)
            assert judge(text, shots).correct, "sounds are no claim where nobody knows what is heard"
            naming += bool(verdict.sounds)
            assert bool(verdict.sounds) <= bool(HEARD[index])
    assert 0.65 < naming / (5 * len(FILMS)) < 0.95


def test_what_is_heard_in_one_film_is_hardly_ever_heard_in_another() -> None:
    verdicts = [
        judge(text, (), HEARD[(index + 1) % len(FILMS)])
        for index in FILMS
        for text in captions_at("valor", "test", index, seed=0)
    ]
    stated = [each for each in verdicts if each.sounds]
    assert sum(each.sounds_right for each in stated) < 0.12 * len(stated)


def test_captions_of_sounds_alone_are_true_and_none_where_nothing_is_heard() -> None:
    for index in FILMS:
        texts = sound_captions_at("valor", "test", index, seed=0)
        assert len(texts) == (5 if HEARD[index] else 0)
        assert all(judge_sounds(text, HEARD[index]).sounds_right for text in texts)
        assert len(sound_captions_at("valor", "train", index, seed=0)) <= 1


def test_two_sounds_are_named_in_their_order() -> None:
    bell = SoundEvent(name="bell", start=0, end=100, loudness=0.5, final=0.5, pitch=1.0, seed=0)
    rain = SoundEvent(name="rain", start=200, end=300, loudness=0.5, final=0.5, pitch=1.0, seed=0)
    texts = sound_references(Soundtrack(noises=(bell, rain), ticks=400, seed=0), 60, np.random.default_rng(0))
    both = [text for text in texts if "bell" in text and "rain" in text]
    assert len(both) > 10
    assert all(text.index("bell") < text.index("rain") and ("followed" in text or "then" in text) for text in both)
