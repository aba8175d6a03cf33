"""Decode frames by torchcodec, where it is installed and can really decode.

It loads the machine's FFmpeg at its first decode, not when it is imported, so only decoding reveals whether
it works.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pseudocap.errors import DecodeError, InputError
from pseudocap.video.reader import Frame, VideoInfo, VideoReader
from pseudocap.video.writer import encode_video


@functools.cache
def why_unusable() -> str | None:
    """Return why torchcodec cannot decode on this machine, by decoding a tiny clip; None where it can."""
    try:
        from torchcodec.decoders import VideoDecoder

        VideoDecoder(encode_video([np.zeros((16, 16, 3), np.uint8)], rate=25, codec="mpeg4")).get_frame_at(0)
    except Exception as error:  # whatever its loader meets on this machine: a missing library has many faces
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None


class TorchCodecReader(VideoReader):
    """Decode the same frames for the same times as PyAV, converted by torchcodec's own settings.

    It reads all packets of the file when it opens, and always decodes exactly, whatever `nearest_keyframe`
    is.
    """

    def __init__(self, path: str, *, threads: int) -> None:
        reason = why_unusable()
        if reason is not None:
            raise InputError(
                f"{path}: torchcodec cannot decode on this machine ({reason}); leave out backend='torchcodec'"
            )
        from torchcodec.decoders import VideoDecoder

        self.path = path
        try:
            self._decoder: Any = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=threads)
        except (ValueError, RuntimeError, OSError) as error:
            raise DecodeError(path, f"torchcodec cannot open it as a video: {error}") from error

    @property
    def info(self) -> VideoInfo:
        known = self._decoder.metadata
        return VideoInfo(
            path=self.path,
            codec=known.codec,
            width=known.width,
            height=known.height,
            fps=known.average_fps,
            start=known.begin_stream_seconds,
            duration=known.end_stream_seconds - known.begin_stream_seconds,
            claimed_duration=known.duration_seconds_from_header,
            claimed_frames=known.num_frames_from_header,
        )

    def close(self) -> None:
        self._decoder = None

    def _decode(self, times: Sequence[float], nearest_keyframe: bool) -> Iterator[Frame | DecodeError]:
        info = self.info
        for time in times:
            try:
                if time >= info.duration and not info.complete:
                    raise info.missing(time)
                if time >= info.duration:
                    found = self._decoder.get_frame_at(len(self._decoder) - 1)
                else:
                    found = self._decoder.get_frame_played_at(min(time + 1e-6, info.duration) + info.start)
            except DecodeError as error:
                yield error
            except (IndexError, RuntimeError) as error:
                yield DecodeError(self.path, f"torchcodec: {str(error).strip().splitlines()[0]}", time)
            else:
                yield Frame(pixels=found.data.numpy(), time=found.pts_seconds - info.start, exact=True)

    def every_frame(self) -> Iterator[Frame]:
        start = self.info.start
        for number in range(len(self._decoder)):
            with suppress(IndexError, RuntimeError):
                found = self._decoder.get_frame_at(number)
                yield Frame(pixels=found.data.numpy(), time=found.pts_seconds - start, exact=True)
