from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.whispers import tones

from pseudocap.audio.waveform import read_sound
from pseudocap.label.transcripts import chunks
from pseudocap.label.transcripts.chunks import even_chunks, speech_chunks

RATE = chunks.RATE


@pytest.fixture(scope="module")
def speech(shared_data: Path) -> np.ndarray:
    """Seventy seconds of a man who speaks."""
    return read_sound(shared_data / "clips" / "test_video.mp4", end=70.0)


def test_even_chunks_cover_all_of_a_sound() -> None:
    assert list(even_chunks(np.zeros(70 * RATE))) == [(0, 30 * RATE), (30 * RATE, 60 * RATE), (60 * RATE, 70 * RATE)]
    assert list(even_chunks(np.zeros(0))) == []


def test_nobody_speaks_in_tones_and_silence() -> None:
    assert list(speech_chunks(tones(0, 440, seconds=3))) == []
    assert list(speech_chunks(np.zeros(0, np.float32))) == []


def test_speech_comes_in_chunks_of_at_most_thirty_seconds(speech: np.ndarray) -> None:
    silence = np.zeros(5 * RATE, np.float32)
    found = list(speech_chunks(np.concatenate([silence, speech])))
    assert len(found) == 3
    assert all(0 < end - start <= 30 * RATE for start, end in found)
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    assert 4 * RATE < found[0][0] < 6.5 * RATE


def test_windows_lose_no_speech(speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    entire = covered(speech)
    monkeypatch.setattr(chunks, "WINDOW", 15)
    parts = covered(speech)
    assert (entire & ~parts).sum() < 0.02 * entire.sum()
    assert (parts & ~entire).sum() < 0.05 * entire.sum()


def test_speech_at_the_end_of_a_window_is_not_cut(speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = list(chunks._speech(speech))
    start, end = next(span for span in spans if span[0] > 5 * RATE and span[1] - span[0] > 3 * RATE)
    monkeypatch.setattr(chunks, "WINDOW", (start + end) / 2 / RATE)
    near = [span for span in chunks._speech(speech) if span[0] <= (start + end) / 2 <= span[1]]
    assert len(near) == 1
    assert abs(near[0][0] - start) < RATE / 2
    assert abs(near[0][1] - end) < RATE / 2


def covered(sound: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(sound), bool)
    for start, end in chunks._speech(sound):
        assert not mask[start:end].any(), "no second is heard twice"
        mask[start:end] = True
    return mask
