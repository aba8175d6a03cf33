"""Decode the clips of a long file a few at a time, as worker processes do it for whoever computes on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pseudocap.errors import DecodeError
from pseudocap.types import Clip, Preprocess
from pseudocap.video.reader import Frames, VideoReader
from pseudocap.video.tensors import distinct_frames
from pseudocap.video.transforms import eval_pixels

CRASHED = "decoding it crashes FFmpeg: the file is damaged, or made to do so"


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedPart:
    """Hold decoded clips as (start, end, frames), whether the file has more of them, and why it has no more. `sounds`
    are those of the clips where they were asked for: windows with their lengths, None of a silent one."""

    clips: tuple[tuple[float, float, Frames], ...] = ()
    sounds: tuple[tuple[np.ndarray, np.ndarray] | None, ...] = ()
    more: bool = False
    error: str = ""


def decode_part(
    video: VideoReader, plan: Sequence[Clip], *, first: int, count: int, frames: int, crop: Preprocess | None
) -> DecodedPart:
    """Decode `count` clips of a plan from the `first` on, `frames` of each. What is wrong with the file is the part's
    error: those before the fault are there all the same."""
    clips = []
    try:
        for clip in plan[first : first + count]:
            found = distinct_frames(video.frames_evenly(frames, start=clip.start, end=clip.end))
            clips.append((clip.start, clip.end, crop_frames(found, crop)))
    except DecodeError as error:
        return DecodedPart(clips=tuple(clips), error=str(error))
    more, info = first + count < len(plan), video.info
    missing = not more and not info.complete
    return DecodedPart(clips=tuple(clips), more=more, error=str(info.missing(info.duration)) if missing else "")


def crop_frames(frames: Frames, crop: Preprocess | None) -> Frames:
    """Reduce frames to a network's input where that is all that is used of them: fewer pixels go between processes."""
    return frames if crop is None else replace(frames, pixels=eval_pixels(frames.pixels, crop))
