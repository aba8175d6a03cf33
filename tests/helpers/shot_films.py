"""Small films of drawn shots, whose cuts are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pseudocap.video.writer import write_video

SIZE = (96, 64)


def shot(seed: int, count: int, *, speed: int = 1) -> Iterator[np.ndarray]:
    """Frames of one shot: coarse coloured noise of its own that moves to the side."""
    width, height = SIZE
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    yield from (np.roll(picture, speed * number, axis=1) for number in range(count))


def film_of(lengths: Sequence[int], first: int = 0) -> list[np.ndarray]:
    """All frames of shots of these lengths."""
    return [frame for number, length in enumerate(lengths) for frame in shot(first + number, length)]


def write_shots(
    path: Path, frames: Sequence[np.ndarray], *, rate: int = 10, stamps: Sequence[int] | None = None, **options: object
) -> Path:
    """Encode frames at a constant rate, or at `stamps` in thousandths of a second."""

    def timed() -> Iterator[av.VideoFrame | np.ndarray]:
        for number, pixels in enumerate(frames):
            if stamps is None:
                yield pixels
                continue
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            yield frame

    def prepare(stream: av.VideoStream) -> None:
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)

    write_video(path, timed(), rate=rate, prepare=prepare, **options)  # type: ignore[arg-type]
    return path
