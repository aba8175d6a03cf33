"""Cut a long video into clips of fixed length that follow one another.

The papers cut every video into clips of 8 s and label the frame at each clip's centre.
"""

from __future__ import annotations

import math

from pseudocap.errors import InputError
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip


def plan_clips(
    source: str, duration: float, *, clip_seconds: float = CLIP_SECONDS, min_seconds: float = MIN_SECONDS
) -> list[Clip]:
    """Return the clips of a video of this duration; the shorter rest is a clip of its own from `min_seconds` on.

    A video shorter than `min_seconds` is one clip all the same: no video is dropped here.
    """
    if not (math.isfinite(clip_seconds) and clip_seconds > 0):
        raise InputError(f"{source}: clip_seconds is {clip_seconds} and must be positive")
    if not 0 <= min_seconds <= clip_seconds:
        raise InputError(
            f"{source}: min_seconds is {min_seconds} and must lie between 0 and clip_seconds ({clip_seconds})"
        )
    if not (math.isfinite(duration) and duration > 0):
        raise InputError(f"{source}: a duration of {duration} s has no clips")
    full = math.floor(duration / clip_seconds)
    clips = [Clip(source=source, start=k * clip_seconds, end=(k + 1) * clip_seconds) for k in range(full)]
    rest = full * clip_seconds
    if not clips or duration - rest >= max(min_seconds, 1e-6):
        clips.append(Clip(source=source, start=rest, end=duration))
    return clips
