"""Convert a video file to one that a browser plays, small enough to be put into a page."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pseudocap.errors import DecodeError
from pseudocap.video.decode import open_video
from pseudocap.video.picture import jpeg
from pseudocap.video.reader import segment_centres
from pseudocap.video.writer import encode_video, even

# What every browser plays, by what is in the file; browsers look into it, and refuse types that they do not know.
AS_IT_IS = {".mp4": ("video/mp4", ("h264", "av1")), ".webm": ("video/webm", ("vp8", "vp9", "av1"))}
LIMIT = 4_000_000  # bytes of a file that goes into a page as it is
SIDE, RATE, SECONDS = 320, 8, 60  # pixels, frames a second and length of a copy: of a longer film, its beginning
OPTIONS = {"preset": "veryfast", "crf": "26"}


@dataclass(frozen=True, slots=True)
class Playable:
    """Hold the bytes of a video or, of a still, of a picture, and their media type."""

    data: bytes
    media_type: str


def playable(path: str | os.PathLike[str], *, start: float = 0.0, end: float | None = None) -> Playable:
    """Return the file itself where browsers play it, else a small silent copy; a still becomes a JPEG. Of a stretch of
    a file it is always a copy."""
    with open_video(path, short_side=SIDE) as video:
        info = video.info
        media_type, codecs = AS_IT_IS.get(Path(path).suffix.lower(), ("", ()))
        if start == 0.0 and end is None and info.codec in codecs and Path(path).stat().st_size <= LIMIT:
            return Playable(Path(path).read_bytes(), media_type)
        length = min((info.duration if end is None else min(end, info.duration)) - start, SECONDS)
        count = max(1, round(length * RATE))
        decoded = video.decode(segment_centres(start, start + length, count))
        pictures = (frame.pixels for frame in decoded if not isinstance(frame, DecodeError))
        first = next(pictures, None)
        if first is None:
            raise DecodeError(os.fspath(path), "none of its frames can be decoded")
        if count == 1:
            return Playable(jpeg(first, sharp=True), "image/jpeg")
        rate = Fraction(count / length).limit_denominator(1000)
        frames = map(even, itertools.chain([first], pictures))
        return Playable(encode_video(frames, rate=rate, options=OPTIONS), "video/mp4")
