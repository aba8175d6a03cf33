"""Judge a clip by the frames that its teacher gets: `black` where they are dark, `static` where they hardly differ,
`text` where much of them looks like lines of text.

The last is a measure of strokes and reads nothing: fences and windows count a little, letters of more than about 28
pixels are missed. docs/experiments.md has what it finds."""

from __future__ import annotations

import itertools

import numpy as np

from pseudocap.label.filters import Filters

LOOKS = ("black", "static", "text")

SIDE, CELL = 384, 16  # pixels: frames are read at about this short side; text is counted in cells of a row's height
STEP, STROKE = 40, 5  # an edge is a step of so much light within two pixels; a stroke, two opposite ones so near
FLAT = 10  # what the ground of text stays below


def look_verdicts(frames: np.ndarray | None, filters: Filters) -> tuple[str, ...]:
    """Return the objections to frames, uint8 [T,H,W,3]; one frame alone cannot be static."""
    if frames is None or not (filters.min_light or filters.min_motion or filters.max_text):
        return ()
    black = filters.min_light > 0 and light(frames) < filters.min_light
    static = filters.min_motion > 0 and len(frames) > 1 and motion(frames) < filters.min_motion
    text = filters.max_text > 0 and text_share(frames) > filters.max_text
    return tuple(name for name, found in zip(LOOKS, (black, static, text), strict=True) if found)


def light(frames: np.ndarray) -> float:
    """Return the mean of the pixels, from 0 to 1, of the lightest frame."""
    return max(float(frame.mean()) for frame in frames) / 255


def motion(frames: np.ndarray) -> float:
    """Return how much neighbouring frames differ, from 0 to 1: the mean over pixels and over pairs of frames."""
    pairs = itertools.pairwise(frames)
    return float(np.mean([np.abs(after.astype(np.int16) - before).mean() for before, after in pairs])) / 255


def text_share(frames: np.ndarray) -> float:
    """Return the share of the cells, from 0 to 1, that look like text: thin strokes on a flat ground."""
    return float(np.mean([_text_cells(frame) for frame in frames]))


def _text_cells(frame: np.ndarray) -> float:
    every = max(1, round(min(frame.shape[:2]) / SIDE))
    grey = frame[::every, ::every].astype(np.int16) @ np.array([2, 5, 1], np.int16) >> 3
    step = grey[:, 2:] - grey[:, :-2]
    rises, falls = step > STEP, step < -STEP
    strokes = np.zeros_like(rises)
    for apart in range(2, STROKE + 1):
        left, right = slice(None, -apart), slice(apart, None)
        strokes[:, left] |= (rises[:, left] & falls[:, right]) | (falls[:, left] & rises[:, right])
    cells = (_by_cell(strokes) > 0.15) & (_by_cell(np.abs(step) < FLAT) > 0.3)
    return float(cells.mean()) if cells.size else 0.0


def _by_cell(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of each complete cell of pixels."""
    rows, columns = (length // CELL for length in pixels.shape)
    return pixels[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
