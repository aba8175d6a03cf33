"""A film whose brightness and texture change with the second."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

RATE = 8  # frames a second


def write_film(path: Path, seconds: int, *, seed: int = 0, cut_at: float | None = None) -> Path:
    """A film whose brightness and texture change with the second; `cut_at` truncates the file."""
    texture = np.random.default_rng(seed).integers(0, 120, (40, 56, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = 56, 40, "yuv420p"
        for number in range(seconds * RATE):
            shade = np.roll(texture, 3 * number, axis=1) + 15 * (number // RATE % 9)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade.astype(np.uint8))))
        container.mux(stream.encode())
    if cut_at is not None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * cut_at)])
    return path
