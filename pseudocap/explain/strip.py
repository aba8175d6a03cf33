"""Show the sound that a captioner heard: a strip of its spectrogram, and when each moment of the memory was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pseudocap.audio.clips import Windows, window_starts
from pseudocap.types import SoundPreprocess

COLUMNS, ROWS = 480, 48  # of a strip, at most
RANGE = (1, 99)  # percentiles of the values that are black and white


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundStrip:
    """Hold the spectrogram of what was heard, uint8 [pitch, column], low pitch at the bottom, and the seconds of the
    moments [moment], which stand evenly along it."""

    spectrogram: np.ndarray
    times: np.ndarray


def strip_of(heard: Windows, preprocess: SoundPreprocess, real: np.ndarray, *, end: float) -> SoundStrip:
    """Return the strip of what was heard of a file of `end` seconds; `real` marks the moments of the memory that are
    no padding, of all windows one after another."""
    windows, lengths = heard
    starts = np.array(window_starts(0.0, end, preprocess, len(windows)))
    moments = len(real) // len(windows)
    within = (np.arange(moments) + 0.5) * preprocess.seconds / moments
    return SoundStrip(spectrogram=draw_strip(windows, lengths), times=(starts[:, None] + within).ravel()[real])


def draw_strip(windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Draw the real frames of windows [W,F,M] one after another; of a waveform how far it swings."""
    frames = np.concatenate([window[:length] for window, length in zip(windows, lengths, strict=True)]).T[::-1]
    if len(frames) == 1:
        frames = np.abs(frames)
    small = _averaged(_averaged(frames, ROWS).T, COLUMNS).T
    low, high = np.percentile(small, RANGE)
    return (255 * np.clip((small - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def _averaged(values: np.ndarray, most: int) -> np.ndarray:
    """Average neighbouring rows to at most so many."""
    if len(values) <= most:
        return values
    bounds = np.linspace(0, len(values), most + 1).round().astype(int)[:-1]
    return np.add.reduceat(values, bounds) / np.diff([*bounds, len(values)])[:, None]
