"""Cutting a duration into clips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pseudocap.errors import InputError
from pseudocap.video.clips import plan_clips, plan_shots


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


def shots(duration: float, cuts: list[float], **settings: float) -> list[tuple[float, float]]:
    return [(clip.start, clip.end) for clip in plan_shots("a.mp4", duration, cuts, **settings)]


def test_clips_of_shots_cross_no_cut_and_keep_their_bounds() -> None:
    assert shots(30.0, [5.0, 5.5, 15.5]) == [(0, 5), (5.5, 10.5), (10.5, 15.5), (15.5, 22.75), (22.75, 30)]
    assert shots(8.0, []) == [(0, 8)]
    assert shots(12.0, [4.0, 4.0, 3.0, 40.0]) == [(0, 4), (4, 12)]


def test_where_equal_parts_are_too_short_full_clips_are_cut() -> None:
    assert shots(30.0, [9.0], clip_seconds=8.0, min_seconds=8.0) == [(0, 8), (9, 17), (17, 25)]


def test_a_film_of_short_shots_is_its_longest() -> None:
    assert shots(2.0, [0.4, 1.3]) == [(0.4, 1.3)]
    assert shots(0.5, []) == [(0, 0.5)]


def test_clips_of_shots_come_as_cuts_do() -> None:
    def cuts() -> Iterator[float]:
        yield 6.0
        raise AssertionError("the second cut is not needed yet")

    assert next(plan_shots("a.mp4", 20.0, cuts())).end == 6.0


def test_bounds_of_shots_that_contradict_are_named() -> None:
    with pytest.raises(InputError, match=r"a.mp4.*min_seconds"):
        shots(9.0, [], min_seconds=9)
