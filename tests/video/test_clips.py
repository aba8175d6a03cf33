"""Cutting a duration into clips."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


SECONDS = st.floats(0.01, 500)


@st.composite
def lengths(draw: st.DrawFn) -> tuple[float, float]:
    clip = draw(st.floats(0.1, 20))
    return clip, draw(st.floats(0, clip))


@given(duration=SECONDS, length=lengths())
def test_clips_of_any_film_touch_begin_at_nought_and_leave_out_a_short_rest_alone(
    duration: float, length: tuple[float, float]
) -> None:
    clip_seconds, min_seconds = length
    clips = bounds(duration, clip_seconds=clip_seconds, min_seconds=min_seconds)
    assert clips[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(clips))
    assert all(end - start <= clip_seconds * (1 + 1e-9) for start, end in clips)
    assert all(end - start >= min(min_seconds, duration) - 1e-9 for start, end in clips)
    assert 0 <= duration - clips[-1][1] + 1e-9 <= max(min_seconds, 1e-6) + 2e-9


@given(duration=SECONDS, cuts=st.lists(st.floats(0, 600), max_size=12), length=lengths())
def test_shots_of_any_cuts_cross_none_and_are_ascending(
    duration: float, cuts: list[float], length: tuple[float, float]
) -> None:
    clip_seconds, min_seconds = length
    clips = shots(duration, sorted(cuts), clip_seconds=clip_seconds, min_seconds=min_seconds)
    assert clips
    assert all(one[1] <= other[0] for one, other in pairwise(clips))
    assert clips[0][0] >= 0
    assert clips[-1][1] <= duration
    for start, end in clips:
        assert start < end
        assert not any(start < cut < end for cut in cuts)
    if len(clips) > 1:
        assert all(min_seconds - 1e-6 <= end - start <= clip_seconds + 1e-6 for start, end in clips)
