"""Judge a clip by the frames that its teacher gets: `black` where they are dark, `static` where they hardly differ."""

from __future__ import annotations

import itertools

import numpy as np

from pseudocap.label.filters import Filters

LOOKS = ("black", "static")  # verdicts that stay with a row, since its frames are not decoded again


def look_verdicts(frames: np.ndarray | None, filters: Filters) -> tuple[str, ...]:
    """Return the objections to frames, uint8 [T,H,W,3]; one frame alone cannot be static."""
    if frames is None or not (filters.min_light or filters.min_motion):
        return ()
    black = filters.min_light > 0 and light(frames) < filters.min_light
    static = filters.min_motion > 0 and len(frames) > 1 and motion(frames) < filters.min_motion
    return tuple(name for name, found in zip(LOOKS, (black, static), strict=True) if found)


def light(frames: np.ndarray) -> float:
    """Return the mean of the pixels, from 0 to 1, of the lightest frame."""
    return max(float(frame.mean()) for frame in frames) / 255


def motion(frames: np.ndarray) -> float:
    """Return how much neighbouring frames differ, from 0 to 1: the mean over pixels and over pairs of frames."""
    pairs = itertools.pairwise(frames)
    return float(np.mean([np.abs(after.astype(np.int16) - before).mean() for before, after in pairs])) / 255
