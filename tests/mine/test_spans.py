"""Spans lie within their video, hold their frame, and overlapping ones are one clip up to a length."""

from __future__ import annotations

import itertools

import pytest

from pseudocap.errors import ConfigError
from pseudocap.mine.spans import Spans, join_spans

TEN = Spans(span=10.0, longest=30.0)


def clips(
    times: list[float], duration: float = 100.0, spans: Spans = TEN
) -> list[tuple[float, float, tuple[int, ...]]]:
    return [(clip.start, clip.end, clip.matches) for clip in join_spans(times, duration, spans)]


def test_a_span_lies_around_its_frame_and_within_the_video() -> None:
    assert clips([50.5]) == [(45.5, 55.5, (0,))]
    assert clips([0.5]) == [(0.0, 10.0, (0,))]
    assert clips([99.5]) == [(90.0, 100.0, (0,))]
    assert clips([2.5], duration=4.0) == [(0.0, 4.0, (0,))]


def test_spans_that_overlap_are_one_clip_and_others_are_not() -> None:
    assert clips([50.0, 20.0, 54.0, 20.0]) == [(15.0, 25.0, (1, 3)), (45.0, 59.0, (0, 2))]
    assert clips([20.0, 30.0]) == [(15.0, 25.0, (0,)), (25.0, 35.0, (1,))]  # they touch


def test_a_chain_of_spans_is_cut_between_frames_where_it_is_too_long() -> None:
    times = [10.0, 18.0, 26.0, 34.0, 42.0]
    assert clips(times) == [(5.0, 30.0, (0, 1, 2)), (30.0, 47.0, (3, 4))]
    assert clips(times, spans=Spans(span=10.0, longest=1e9)) == [(5.0, 47.0, (0, 1, 2, 3, 4))]


def test_every_clip_holds_the_frames_of_its_matches() -> None:
    times = [0.5 + 3 * number for number in range(33)] + [40.0, 40.0]
    found = join_spans(times, 100.0, TEN)
    assert sorted(number for clip in found for number in clip.matches) == list(range(len(times)))
    assert all(clip.start <= times[number] <= clip.end for clip in found for number in clip.matches)
    assert all(first.end <= second.start for first, second in itertools.pairwise(found))
    assert max(clip.end - clip.start for clip in found) <= 30.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"span": 0.0}, "span is 0 seconds"),
        ({"longest": 5.0}, "longest is 5 seconds and must be at least the span, 10"),
    ],
)
def test_lengths_that_cannot_be_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Spans(**settings)
