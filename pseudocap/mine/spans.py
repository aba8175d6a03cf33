"""Turn matched frames into clips: a span around each, and one clip of those of a video that overlap.

A clip holds the frame of each of its captions. Spans that overlap one after another would make one clip of an entire
film, so a clip grows to `longest` seconds and no further: where the next span would stretch it beyond, it ends halfway
between the last frame that it holds and the next one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pseudocap.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Set how long the clips are: `span` seconds around a frame, at most `longest` where several are joined."""

    span: float = 10.0
    longest: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.span < math.inf:
            raise ConfigError(f"span is {self.span:g} seconds and must be above 0")
        if not self.longest >= self.span:
            raise ConfigError(f"longest is {self.longest:g} seconds and must be at least the span, {self.span:g}")

    def around(self, time: float, duration: float) -> tuple[float, float]:
        """Return the span around a moment, moved to lie within the video; all of a video that is shorter."""
        start = max(0.0, min(time - self.span / 2, duration - self.span))
        return start, min(start + self.span, duration)


@dataclass(frozen=True, kw_only=True, slots=True)
class MinedClip:
    """Hold a stretch of a video with its matches, by their numbers."""

    start: float
    end: float
    matches: tuple[int, ...]


def join_spans(times: Sequence[float], duration: float, spans: Spans) -> list[MinedClip]:
    """Return the clips of one video, of matches at these moments, in the order of time."""
    clips: list[MinedClip] = []
    held = 0.0  # the moment of the last match in the last clip
    for number in sorted(range(len(times)), key=lambda number: (times[number], number)):
        start, end = spans.around(times[number], duration)
        last = clips[-1] if clips else None
        if last is None or start >= last.end:
            clips.append(MinedClip(start=start, end=end, matches=(number,)))
        elif end - last.start <= spans.longest or times[number] == held:
            clips[-1] = replace(last, end=max(last.end, end), matches=(*last.matches, number))
        else:
            middle = (held + times[number]) / 2
            clips[-1] = replace(last, end=middle)
            clips.append(MinedClip(start=middle, end=end, matches=(number,)))
        held = times[number]
    return clips
