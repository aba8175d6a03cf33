"""Cut a long video into clips: of a fixed length, one after another, or within its shots.

The papers cut every video into clips of 8 s and label the frame at each clip's centre.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from pseudocap.errors import InputError
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip


def plan_clips(
    source: str, duration: float, *, clip_seconds: float = CLIP_SECONDS, min_seconds: float = MIN_SECONDS
) -> list[Clip]:
    """Return the clips of a video of this duration; the shorter rest is a clip of its own from `min_seconds` on.

    A video shorter than `min_seconds` is one clip all the same: no video is dropped here.
    """
    _check(source, duration, clip_seconds, min_seconds)
    full = math.floor(duration / clip_seconds)
    clips = [Clip(source=source, start=k * clip_seconds, end=(k + 1) * clip_seconds) for k in range(full)]
    rest = full * clip_seconds
    if not clips or duration - rest >= max(min_seconds, 1e-6):
        clips.append(Clip(source=source, start=rest, end=duration))
    return clips


def plan_shots(
    source: str,
    duration: float,
    cuts: Iterable[float],
    *,
    clip_seconds: float = CLIP_SECONDS,
    min_seconds: float = MIN_SECONDS,
) -> Iterator[Clip]:
    """Yield clips that cross no cut, as the ascending times of the cuts come: shots longer than `clip_seconds` are
    split evenly, those shorter than `min_seconds` left out.

    A video without any shot that is long enough is its longest shot: no video is dropped here.
    """
    _check(source, duration, clip_seconds, min_seconds)
    begin, planned, longest = 0.0, False, Clip(source=source, start=0.0, end=0.0)
    for cut in itertools.chain(cuts, [duration]):
        end = min(cut, duration)
        if end <= begin:
            continue
        if end - begin > longest.end - longest.start:
            longest = Clip(source=source, start=begin, end=end)
        for start, stop in _split(begin, end, clip_seconds, min_seconds):
            planned = True
            yield Clip(source=source, start=start, end=stop)
        begin = end
    if not planned:
        yield longest


def _split(begin: float, end: float, clip_seconds: float, min_seconds: float) -> Iterator[tuple[float, float]]:
    count = max(1, math.ceil((end - begin) / clip_seconds - 1e-9))
    if (end - begin) / count >= max(min_seconds, 1e-6):
        borders = [begin + (end - begin) * k / count for k in range(count)] + [end]
    else:  # parts of equal length were too short: as many full clips as fit
        borders = [begin + clip_seconds * k for k in range(count)]
    yield from itertools.pairwise(borders)


def _check(source: str, duration: float, clip_seconds: float, min_seconds: float) -> None:
    if not (math.isfinite(clip_seconds) and clip_seconds > 0):
        raise InputError(f"{source}: clip_seconds is {clip_seconds} and must be positive")
    if not 0 <= min_seconds <= clip_seconds:
        raise InputError(
            f"{source}: min_seconds is {min_seconds} and must lie between 0 and clip_seconds ({clip_seconds})"
        )
    if not (math.isfinite(duration) and duration > 0):
        raise InputError(f"{source}: a duration of {duration} s has no clips")
