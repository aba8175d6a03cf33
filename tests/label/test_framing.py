"""Which frames a teacher is shown."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.label_worlds import SHORT, write_film
from helpers.shot_films import film_of, write_shots

from pseudocap.errors import ConfigError
from pseudocap.label.framing import Framing, decode_planned, pieces, plan_video, sharpness
from pseudocap.label.sources import Media
from pseudocap.types import Clip
from pseudocap.video.cut_detectors import ContentCuts
from pseudocap.video.decode import open_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", frames=63)


def test_the_centre_frame_is_the_readers(film: Path, tmp_path: Path) -> None:
    framing = replace(SHORT, short_side=None)
    planned = plan_video(Media(name="a.mp4", address=str(film)), framing, tmp_path)
    seen = decode_planned(planned.path, planned.clips, framing)
    with open_video(film) as video:
        for decoded, (clip, frame) in zip(seen, video.clip_centres(2.0), strict=True):
            assert (decoded.clip.start, decoded.clip.end) == (clip.start, clip.end)
            assert decoded.frames is not None
            np.testing.assert_array_equal(decoded.frames[0], frame.pixels)  # type: ignore[union-attr]
            assert decoded.times == (frame.time,)


@pytest.mark.parametrize(("asked", "choice", "got"), [(32, "centre", 32), (96, "centre", 48), (96, "spread", 96)])
def test_small_films_are_not_blown_up_for_teachers_of_images(
    film: Path, tmp_path: Path, asked: int, choice: str, got: int
) -> None:
    framing = replace(SHORT, short_side=asked, choice=choice)
    planned = plan_video(Media(name="a.mp4", address=str(film)), framing, tmp_path)
    assert planned.framing is not None
    seen = decode_planned(planned.path, planned.clips, planned.framing)
    assert {min(decoded.frames.shape[1:3]) for decoded in seen if decoded.frames is not None} == {got}


def test_the_sharpest_frame_is_chosen_within_the_window(film: Path) -> None:
    clip = Clip(source="a.mp4", start=2.0, end=10.0)
    framing = Framing(choice="sharpest", count=5, window=2.0)
    (decoded,) = decode_planned(str(film), [clip], framing)
    with open_video(film) as video:
        frames = video.frames_at(framing.times(clip))
    assert all(5.0 <= time <= 7.0 for time in framing.times(clip))
    best = int(np.argmax([sharpness(pixels) for pixels in frames.pixels]))
    np.testing.assert_array_equal(decoded.frames[0], frames.pixels[best])  # type: ignore[index]


def test_blur_is_less_sharp() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    blurred = ((sharp + np.roll(sharp, 1, 0).astype(float) + np.roll(sharp, 1, 1)) / 3).astype(np.uint8)
    assert sharpness(blurred) < sharpness(sharp) / 2


@pytest.mark.parametrize("choice", ["sharpest", "consensus", "spread"])
def test_times_ascend_over_all_clips(choice: str) -> None:
    framing = Framing(choice=choice, count=4, window=9.0)  # type: ignore[arg-type]
    clips = [Clip(source="a", start=8.0 * k, end=8.0 * k + 8) for k in range(3)]
    times = [time for clip in clips for time in framing.times(clip)]
    assert times == sorted(times)
    assert all(clips[k // 4].start <= time <= clips[k // 4].end for k, time in enumerate(times))


def test_pieces_hold_every_clip_once_and_few_frames() -> None:
    clips = [Clip(source="a.mp4", start=8.0 * k, end=8.0 * k + 8) for k in range(100)]
    for count in (2, 5, 40):
        parts = pieces(Media(name="a.mp4", address="a.mp4"), clips, Framing(choice="spread", count=count))
        assert [clip for part in parts for clip in part] == clips
        assert max(map(len, parts)) * count <= max(16, count)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"choice": "best"}, "must be one of"),
        ({"choice": "consensus", "count": 1}, "count is 1"),
        ({"clip_seconds": 0}, "clip_seconds is 0"),
        ({"min_seconds": 9}, "min_seconds is 9"),
        ({"window": 0}, "window is 0"),
    ],
)
def test_framings_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Framing(**options)  # type: ignore[arg-type]


@pytest.mark.skipif(importlib.util.find_spec("scenedetect") is None, reason="the extra `shots` is not installed")
def test_clips_follow_the_shots_of_a_film_and_the_detector_is_recorded(tmp_path: Path) -> None:
    film = write_shots(tmp_path / "a.mp4", film_of([12, 30, 6, 32]))
    framing = Framing(clip_seconds=2.0, min_seconds=1.0, cuts=ContentCuts())
    planned = plan_video(Media(name="a.mp4", address=str(film)), framing, tmp_path)
    bounds = [(round(clip.start, 2), round(clip.end, 2)) for clip in planned.clips]
    assert bounds == [(0.0, 1.2), (1.2, 2.7), (2.7, 4.2), (4.8, 6.4), (6.4, 8.0)]
    assert framing.recorded()["cuts"] == {"detector": "content", "threshold": 3.0, "least": 15.0}
    assert "cuts" not in Framing().recorded(), "a run of fixed clips keeps the name that it had before"
