"""A film whose brightness and texture change with the second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pseudocap.video.writer import write_video

RATE = 8  # frames a second


def write_film(path: Path, seconds: int, *, seed: int = 0, cut_at: float | None = None) -> Path:
    """A film whose brightness and texture change with the second; `cut_at` truncates the file."""
    texture = np.random.default_rng(seed).integers(0, 120, (40, 56, 3))
    frames = (
        (np.roll(texture, 3 * number, axis=1) + 15 * (number // RATE % 9)).astype(np.uint8)
        for number in range(seconds * RATE)
    )
    write_video(path, frames, rate=RATE, codec="mpeg4", options={"g": "4"})
    if cut_at is not None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * cut_at)])
    return path
