"""A part of a file is what the captioner would decode of it, or why it has none."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.shaded_films import write_film
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.errors import InputError
from pseudocap.serve import parts
from pseudocap.serve.parts import ClipLengths, PartRequest, read_part
from pseudocap.video.tensors import read_clips, read_file


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 9)


def request(path: Path, **options: object) -> PartRequest:
    given = {"frames": 4, "lengths": None, "first": 0, "count": 2, "crop": None, "max_seconds": 60.0}
    return PartRequest(path=str(path), until=time.monotonic() + 600, **{**given, **options})  # type: ignore[arg-type]


def test_the_crop_of_a_frame_is_all_that_the_captioner_uses_of_it(film: Path, model: PseudoCap) -> None:
    frames, _ = read_file(film, 4)
    ((start, end, cropped),) = read_part(request(film, crop=model.crop)).clips
    assert (start, end) == (0.0, 9.0)
    assert cropped.pixels.shape[1:3] == (16, 16)
    assert torch.equal(model.prepare(cropped), model.prepare(frames))


def test_parts_of_a_film_are_all_its_clips(film: Path) -> None:
    lengths = ClipLengths(clip_seconds=2)
    found = [read_part(request(film, lengths=lengths, first=first)) for first in (0, 2, 4)]
    assert [part.more for part in found] == [True, True, False]
    clips = [clip for part in found for clip in part.clips]
    expected = list(read_clips(film, 4, clip_seconds=2, min_seconds=1))
    assert [clip[:2] for clip in clips] == [(clip.start, clip.end) for clip, _ in expected]
    assert all(np.array_equal(ours[2].pixels, theirs.pixels) for ours, (_, theirs) in zip(clips, expected, strict=True))


def test_what_a_truncated_film_lacks_is_the_error_of_its_last_part(tmp_path: Path) -> None:
    film = write_film(tmp_path / "cut.mkv", 20, cut_at=0.6)
    found = [read_part(request(film, lengths=ClipLengths(clip_seconds=3), first=first)) for first in (0, 2)]
    assert [bool(part.error) for part in found] == [False, True]
    assert "truncated" in found[1].error
    assert "truncated" in read_part(request(film)).error


def test_limits_are_errors_of_the_part(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = replace(request(film), until=time.monotonic())
    Image.new("RGB", (60, 40)).save(tmp_path / "still.png")
    monkeypatch.setattr(parts, "MAX_PIXELS", 60 * 40 - 1)
    found = [read_part(each) for each in (request(film, max_seconds=8.9), late, request(tmp_path / "still.png"))]
    assert [part.clips for part in found] == [(), (), ()]
    for part, message in zip(found, ("lasts 9.0 s", "in the time that a request may take", "60 x 40"), strict=True):
        assert message in part.error


def test_a_time_limit_ends_what_takes_longer_and_leaves_no_alarm() -> None:
    with pytest.raises(parts._OutOfTimeError), parts._time_limit(0.02):
        threading.Event().wait(60)
    with parts._time_limit(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_lengths_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"clip_seconds must be at least 0\.1, not 0"):
        ClipLengths(clip_seconds=0)
    with pytest.raises(InputError, match="min_seconds must be from 0 to the 2 s of a clip, not 3"):
        ClipLengths(clip_seconds=2, min_seconds=3)
