"""Encode frames to a video file; all encoding goes through here.

write_video("film.mp4", frames, rate=25)                   # arrays [H,W,3] of RGB, uint8
data = encode_video(frames, rate=25, options={"crf": "23"})  # an MP4 in memory
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np

from pseudocap.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioTrack:
    """Hold a sound to write: samples [N] float32 from -1 to 1, mono, and how to encode them."""

    samples: np.ndarray
    rate: int
    codec: str = "aac"
    bit_rate: int = 32_000
    options: Mapping[str, str] = field(default_factory=dict)


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
    sound: AudioTrack | None = None,
) -> None:
    """Encode frames, and a sound beside them, as a file which is complete when this returns.

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
        sound: the second stream; none without it
    """
    name = target if isinstance(target, io.IOBase) else os.fspath(target)  # type: ignore[arg-type]
    with av.open(name, "w", format=container_format, options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream), f"{codec} encodes pictures"
        stream.pix_fmt, stream.options = pix_fmt, dict(options or {})
        heard = None if sound is None else _SoundStream(container, sound)
        number = -1
        for number, given in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(given, format="rgb24") if isinstance(given, np.ndarray) else given
            if number == 0:
                stream.width, stream.height = frame.width, frame.height
                if prepare is not None:
                    prepare(stream)
            container.mux(stream.encode(frame))
            if heard is not None:
                heard.encode_until((number + 1) / rate)
        if number < 0:
            raise InputError("there is no frame to write: a video has at least one")
        container.mux(stream.encode())
        if heard is not None:
            heard.finish()


class _SoundStream:
    """Encode a sound as the frames beside it go on, so that both lie side by side in the file."""

    def __init__(self, container: av.container.OutputContainer, sound: AudioTrack) -> None:
        stream = container.add_stream(sound.codec, rate=sound.rate, options=dict(sound.options))
        assert isinstance(stream, av.AudioStream), f"{sound.codec} encodes sound"
        stream.layout, stream.bit_rate = "mono", sound.bit_rate
        self._container, self._stream, self._sound, self._done = container, stream, sound, 0

    def encode_until(self, seconds: float | Fraction) -> None:
        """Encode the samples up to a time."""
        end = min(len(self._sound.samples), round(seconds * self._sound.rate))
        if end <= self._done:
            return
        frame = av.AudioFrame.from_ndarray(self._sound.samples[None, self._done : end], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = self._sound.rate, self._done
        self._container.mux(self._stream.encode(frame))
        self._done = end

    def finish(self) -> None:
        self.encode_until(Fraction(len(self._sound.samples), self._sound.rate))
        self._container.mux(self._stream.encode())


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
