"""Cutting a duration into clips."""

from __future__ import annotations

import pytest

from pseudocap.errors import InputError
from pseudocap.video.clips import plan_clips


def bounds(duration: float, **settings: float) -> list[tuple[float, float]]:
    return [(clip.start, clip.end) for clip in plan_clips("a.mp4", duration, **settings)]


def test_clips_follow_one_another_and_a_long_enough_rest_is_kept() -> None:
    assert bounds(20.0) == [(0, 8), (8, 16), (16, 20)]
    assert bounds(16.5) == [(0, 8), (8, 16)]
    assert bounds(16.5, min_seconds=0.5) == [(0, 8), (8, 16), (16, 16.5)]
    assert bounds(16.0, min_seconds=0.0) == [(0, 8), (8, 16)]


def test_no_video_is_too_short_for_one_clip() -> None:
    assert bounds(0.4) == [(0, 0.4)]


def test_the_centre_lies_halfway() -> None:
    assert [clip.centre for clip in plan_clips("a.mp4", 12.0)] == [4.0, 10.0]


@pytest.mark.parametrize(
    ("duration", "settings", "word"),
    [
        (0.0, {}, "duration"),
        (9.0, {"clip_seconds": 0}, "clip_seconds"),
        (9.0, {"min_seconds": 9}, "min_seconds"),
    ],
)
def test_settings_that_cannot_be_are_named(duration: float, settings: dict[str, float], word: str) -> None:
    with pytest.raises(InputError, match=f"a.mp4.*{word}"):
        plan_clips("a.mp4", duration, **settings)
