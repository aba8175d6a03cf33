"""Encode frames to a video file; all encoding goes through here.

write_video("film.mp4", frames, rate=25)                   # arrays [H,W,3] of RGB, uint8
data = encode_video(frames, rate=25, options={"crf": "23"})  # an MP4 in memory
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np

from pseudocap.errors import InputError


def write_video(
    target: str | os.PathLike[str] | BinaryIO,
    frames: Iterable[np.ndarray | av.VideoFrame],
    *,
    rate: int | Fraction,
    codec: str = "libx264",
    container_format: str | None = None,
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> None:
    """Encode frames as the only stream of a file, which is complete when this returns.

    Args:
        target: a path, whose extension gives the container, or an open binary file
        frames: arrays [H,W,3] of RGB, one after another at `rate`, or frames of PyAV with times of their own; the first
            one gives the size, which `even` makes fit for H.264
        rate: frames a second
        codec: FFmpeg's name of the encoder
        container_format: FFmpeg's name of the container, where the extension does not give it
        pix_fmt: how pixels are stored
        options: of the encoder
        container_options: of the container
        prepare: sets whatever else the stream needs, once its size is known
    """
    name = target if isinstance(target, io.IOBase) else os.fspath(target)  # type: ignore[arg-type]
    with av.open(name, "w", format=container_format, options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream), f"{codec} encodes pictures"
        stream.pix_fmt, stream.options = pix_fmt, dict(options or {})
        number = -1
        for number, given in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(given, format="rgb24") if isinstance(given, np.ndarray) else given
            if number == 0:
                stream.width, stream.height = frame.width, frame.height
                if prepare is not None:
                    prepare(stream)
            container.mux(stream.encode(frame))
        if number < 0:
            raise InputError("there is no frame to write: a video has at least one")
        container.mux(stream.encode())


def encode_video(
    frames: Iterable[np.ndarray | av.VideoFrame],
    *,
    rate: int | Fraction,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
) -> bytes:
    """Encode frames as an MP4 in memory."""
    file = io.BytesIO()
    write_video(file, frames, rate=rate, codec=codec, container_format="mp4", options=options)
    return file.getvalue()


def even(pixels: np.ndarray) -> np.ndarray:
    """Cut a frame to even sides, as H.264 wants them: it halves the colours."""
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])
