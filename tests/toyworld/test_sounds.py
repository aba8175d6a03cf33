"""Check what films sound like: each sound at its time and loudness, and all of it in the written file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.acting import film_of

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.actions import VERBS, events
from pseudocap.toyworld.casting import ACTORS, ALL
from pseudocap.toyworld.corpora import CORPORA, entropy, film_at, soundtrack_at
from pseudocap.toyworld.film import write_film
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.scenes import FPS, TICKS, Film
from pseudocap.toyworld.sounds import (
    BY_EVENT,
    UNSEEN,
    VOICES,
    SoundEvent,
    Soundtrack,
    draw_soundtrack,
    sound_of,
    sound_of_event,
)
from pseudocap.toyworld.synthesis import FULL, RATE, SOUNDS, waveform

SECOND = FPS * TICKS
FILMS = range(300)


def noise(name: str, **fields: object) -> SoundEvent:
    return SoundEvent(
        **{"name": name, "start": SECOND, "end": 3 * SECOND, "loudness": 0.5, "final": 0.5, "pitch": 1.0, "seed": 1}
        | fields
    )


def mixed(*noises: SoundEvent) -> np.ndarray:
    samples = sound_of(Soundtrack(noises=noises, ticks=4 * SECOND, seed=0))
    assert samples is not None
    return samples


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def tracks(corpus: str = "msrvtt") -> list[tuple[Film, Soundtrack]]:
    return [(film_at(corpus, "test", n, seed=0), soundtrack_at(corpus, "test", n, seed=0)) for n in FILMS]


@pytest.mark.parametrize("name", SOUNDS)
def test_every_sound_is_as_long_and_as_loud_as_it_should_be_and_repeats(name: str) -> None:
    wave = waveform(name, 2 * RATE + 1, 1.1, 7)
    assert (wave.shape, wave.dtype) == ((2 * RATE + 1,), np.float32)
    loud = np.abs(wave) > 0.1 * np.abs(wave).max()
    assert level(wave[loud]) == pytest.approx(FULL, rel=0.01)
    assert wave[0] == wave[-1] == 0, "it would click"
    assert np.array_equal(wave, waveform(name, 2 * RATE + 1, 1.1, 7))
    assert not np.array_equal(wave, waveform(name, 2 * RATE + 1, 1.3, 7))


def test_no_sound_is_like_another() -> None:
    def spectrum(name: str) -> np.ndarray:  # two-dimensional: rising and falling have the same frequencies
        parts = waveform(name, 2 * RATE, 1.0, 7).reshape(8, -1)
        powers = np.abs(np.fft.rfft(parts, axis=1)[:, :2000].reshape(8, 100, 20)).sum(-1)
        return powers.ravel() / np.linalg.norm(powers)

    found = np.stack([spectrum(name) for name in SOUNDS])
    alike = found @ found.T - np.eye(len(found))
    assert alike.max() < 0.93


def test_everything_that_happens_has_a_sound_and_every_sound_has_words() -> None:
    for verb in VERBS:
        for backward in (False, True):
            (shot,) = film_of(verb, backward=backward).shots
            (event,) = events(shot)
            kinds = ACTORS.get(verb, ALL)
            for kind in kinds:
                acted = replace(shot, things=(replace(shot.things[0], kind=kind), *shot.things[1:]))
                assert sound_of_event(acted, replace(event, actor=0)) in SOUNDS
    assert set(lexicon.HEARD) == set(SOUNDS)
    assert {*BY_EVENT, *lexicon.EVENTS} == set(lexicon.EVENTS)
    assert {*VOICES} <= set(KINDS)
    assert {*UNSEEN, *VOICES.values()} <= set(SOUNDS)


@pytest.mark.parametrize("name", ["engine", "bell", "scraping"])
def test_a_sound_is_heard_at_its_time_and_loudness_and_nothing_before_and_after(name: str) -> None:
    samples = mixed(noise(name))
    before, during, after = samples[:RATE], samples[RATE : 3 * RATE], samples[3 * RATE :]
    assert level(during) > 10 * level(before) > 0
    assert level(during) > 10 * level(after)
    assert level(mixed(noise(name, loudness=0.25, final=0.25))[RATE : 3 * RATE]) < 0.6 * level(during)


def test_what_comes_closer_gets_louder() -> None:
    swelling = mixed(noise("engine", loudness=0.2, final=0.8))
    assert level(swelling[2 * RATE : 3 * RATE]) > 1.5 * level(swelling[RATE : 2 * RATE])
    (shot,) = film_of("approach").shots
    drawn = (draw_soundtrack(Film(shots=(shot,)), np.random.default_rng(seed)) for seed in range(20))
    scraped = [each for track in drawn for each in track.noises if each.thing == 0]
    assert scraped
    assert all(each.final > 3 * each.loudness and each.start == 120 and each.end == 360 for each in scraped)


def test_the_larger_thing_is_the_louder() -> None:
    def loudness(size: str) -> float:
        (shot,) = film_of("roll").shots
        shot = replace(shot, things=(replace(shot.things[0], size=size),))
        return max(each.loudness for each in draw_soundtrack(Film(shots=(shot,)), np.random.default_rng(1)).noises)

    assert loudness("small") < loudness("medium") < loudness("big")


def test_some_films_are_silent_and_some_have_music_and_some_sounds_are_off_screen() -> None:
    found = tracks()
    assert 0.06 < np.mean([track.silent for _, track in found]) < 0.15
    assert 0.08 < np.mean(["music" in track.heard for _, track in found]) < 0.2
    unseen = [
        (film, each) for film, track in found for each in track.noises if each.thing is None and each.name != "music"
    ]
    assert 0.2 < len(unseen) / len(found) < 0.45
    for film, each in unseen:
        (shot,) = (shot for shot in film.shots if shot is film.shot_at(each.start // TICKS)[0])
        assert each.name not in {VOICES.get(thing.kind) for thing in shot.things}, "it would be no surprise"
    assert sound_of(Soundtrack(silent=True, ticks=SECOND, seed=0)) is None


def test_in_space_nobody_hears_anything_but_music() -> None:
    for film, track in tracks():
        if {shot.background for shot in film.shots} == {"space"}:
            assert track.heard <= {"music"}


def test_every_sound_lies_within_its_film_and_in_the_shot_of_its_thing() -> None:
    for film, track in tracks():
        assert track.ticks == film.frames * TICKS
        for each in track.noises:
            assert 0 <= each.start < each.end <= track.ticks
            if each.thing is not None:
                shot, _ = film.shot_at(each.start // TICKS)
                assert each.thing < len(shot.things)


def test_the_sound_is_in_the_file_at_the_time_of_the_pictures(tmp_path: Path) -> None:
    film = film_of("bounce")
    track = Soundtrack(noises=(noise("bell"),), ticks=film.frames * TICKS, seed=0)
    write_film(tmp_path / "a.mp4", film, size=32, track=track)
    write_film(tmp_path / "silent.mp4", film, size=32, track=replace(track, silent=True))
    with av.open(str(tmp_path / "a.mp4")) as container:
        (stream,) = container.streams.audio
        assert (stream.codec_context.name, stream.rate, stream.start_time) == ("aac", RATE, 0)
        assert float(stream.duration * stream.time_base) == film.seconds
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
    written = sound_of(track)
    assert written is not None
    likeness = np.fft.irfft(np.fft.rfft(heard[: len(written)]) * np.conj(np.fft.rfft(written)))
    assert np.argmax(likeness) == 0
    assert np.corrcoef(heard[: len(written)], written)[0, 1] > 0.95
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_sounds_are_drawn_from_a_stream_of_their_own() -> None:
    film, track = film_at("msrvtt", "test", 4, seed=0), soundtrack_at("msrvtt", "test", 4, seed=0)
    streams = [np.random.default_rng(entropy(CORPORA["msrvtt"], 0, "test", 4, stream)) for stream in range(3)]
    assert [draw_soundtrack(film, rng) == track for rng in streams] == [False, False, True]
    assert track != soundtrack_at("msrvtt", "test", 4, seed=1)
