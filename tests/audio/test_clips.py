"""The sound of clips, in the windows that an encoder takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.sounding import Track, write_sounding

from pseudocap.audio.clips import ClipSounds, heard_spans, read_windows
from pseudocap.audio.spectrogram import sound_windows
from pseudocap.audio.waveform import read_sound
from pseudocap.types import MOST_WINDOWS, SoundPreprocess

SMALL = SoundPreprocess(bins=16, frames=32)  # 0.32 s


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounding(tmp_path_factory.mktemp("films") / "film.mkv", Track(start=0.5, end=8.0), seconds=9.0)


def test_each_clip_has_the_windows_of_its_own_seconds(film: Path) -> None:
    spans = [(0.0, 1.0), (1.0, 2.1), (1.5, 1.7), (6.0, 9.0)]
    with ClipSounds(film, SMALL) as sounds:
        found = [sounds.of(start, end) for start, end in spans]
    for (start, end), clip in zip(spans, found, strict=True):
        assert clip is not None
        expected = sound_windows(read_sound(film, start=start, end=end), SMALL)
        alone = read_windows(film, SMALL, start=start, end=end)
        assert alone is not None
        for mine, own, theirs in zip(clip, alone, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(own, theirs)
    assert not sounds.problem


def test_of_a_long_clip_as_many_windows_are_heard_evenly(film: Path) -> None:
    spans = heard_spans(1.0, 9.0, SMALL)
    assert len(spans) == MOST_WINDOWS
    middles = [(start + end) / 2 for start, end in spans]
    np.testing.assert_allclose(middles, 1.0 + (np.arange(MOST_WINDOWS) + 0.5) * 8 / MOST_WINDOWS)
    with ClipSounds(film, SMALL) as sounds:
        clips = [sounds.of(0.0, 0.5), sounds.of(1.0, 9.0)]
    long = clips[1]
    assert long is not None
    assert long[0].shape == (MOST_WINDOWS, 32, 16)
    for number, (start, end) in enumerate(spans):
        windows, lengths = sound_windows(read_sound(film, start=start, end=end), SMALL)
        np.testing.assert_array_equal(long[0][number], windows[0])
        assert long[1][number] == lengths[0] == 30
    assert heard_spans(2.0, 2.0 + MOST_WINDOWS * 0.32, SMALL) == [(2.0, 2.0 + MOST_WINDOWS * 0.32)]


def test_what_has_no_sound_says_why(tmp_path: Path) -> None:
    mute = write_sounding(tmp_path / "mute.mp4")
    assert read_windows(mute, SMALL, end=1.0) is None
    with ClipSounds(mute, SMALL) as sounds:
        assert sounds.of(0.0, 1.0) is None
        assert sounds.problem == "the file has no sound track"
    loud = write_sounding(tmp_path / "loud.mp4", Track())
    assert read_windows(loud, SMALL, start=1.0, end=1.0) is None
