"""Small films whose every frame shows its own number, and what an independent full decode makes of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pseudocap.video.writer import write_video

BITS = 12


@functools.lru_cache(maxsize=512)
def drawn(number: int, width: int, height: int) -> np.ndarray:
    """A frame: its number as a row of black and white blocks above a moving pattern with noise."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    pattern = 120 + 60 * np.sin((x + 3 * number) / 9) + 40 * np.cos((y - 2 * number) / 7)
    pixels = np.stack([pattern, np.roll(pattern, number, 1), 255 - pattern], -1) + rng.normal(0, 6, (height, width, 1))
    block = width // BITS
    for bit in range(BITS):
        pixels[:16, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 16
    return np.clip(pixels, 0, 255).astype(np.uint8)


def number_of(pixels: np.ndarray) -> int:
    """The number that a frame shows."""
    block = pixels.shape[1] // BITS
    return sum((pixels[4:12, bit * block + 2 : (bit + 1) * block - 2].mean() > 128) << bit for bit in range(BITS))


def write_film(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 80,
    pictures: int = 512,
    size: tuple[int, int] = (144, 80),
    rate: Fraction = Fraction(25),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    gop: int | None = 12,
    b_frames: int | None = None,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int | None = None,
    container_options: dict[str, str] | None = None,
    format: str | None = None,  # noqa: A002 - av's word for it
    tags: dict[str, int] | None = None,
) -> Path:
    """Encode numbered frames, anew from 0 after `pictures`; `stamps`, ticks of `time_base`, vary the rate."""
    time_base = time_base or 1 / rate

    def numbered() -> Iterator[av.VideoFrame]:
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn(number % pictures, *size), format="rgb24")
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = time_base
            yield frame

    def prepare(stream: av.VideoStream) -> None:
        settings = {**(tags or {}), "time_base": time_base, "gop_size": gop, "max_b_frames": b_frames}
        for name, value in settings.items():
            if value is not None:
                setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)

    write_video(
        path,
        numbered(),
        rate=rate,
        codec=codec,
        container_format=format,
        pix_fmt=pix_fmt,
        options=options,
        container_options=container_options,
        prepare=prepare,
    )
    return path


def full_decode(path: Path) -> list[tuple[float, np.ndarray]]:
    """Every frame in the order in which a plain decode gives them, with seconds from the first one.

    Times are the sorted time stamps: in AVI a decoder hands them out in the wrong order.
    """
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        decoded = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        if any(pts is None for pts, _ in decoded):
            decoded = [(k, pixels) for k, (_, pixels) in enumerate(decoded)]
            tick = 1 / Fraction(25)
        else:
            tick = stream.time_base
    stamps = sorted(pts for pts, _ in decoded)
    return [(float((pts - stamps[0]) * tick), pixels) for pts, (_, pixels) in zip(stamps, decoded, strict=True)]


def frame_for(film: list[tuple[float, np.ndarray]], time: float) -> tuple[float, np.ndarray]:
    """The last frame presented by `time`."""
    return max(
        ((presented, pixels) for presented, pixels in film if presented <= time + 1e-6),
        key=lambda pair: pair[0],
    )
