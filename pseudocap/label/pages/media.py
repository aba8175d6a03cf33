"""Give a browser a video: where its bytes lie, a range of them, their type, the centre frame."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from pseudocap.errors import DataError, DecodeError
from pseudocap.files.tars import read_span
from pseudocap.label.sources import Media, member_of

# A player looks at the bytes, not at this, but refuses types that it has not heard of.
CONTENT_TYPES = {".webm": "video/webm", ".mkv": "video/x-matroska", ".ogv": "video/ogg", ".avi": "video/x-msvideo"}
QUALITY = 88


def locate_media(source: str) -> Media | None:
    """Find a source of the labels on this machine: a file, or `00000.tar/000000012.mp4`; None where there is none."""
    path = Path(source)
    if path.is_file():
        return Media(name=path.name, address=source, offset=0, size=path.stat().st_size)
    try:
        member = member_of(source)
    except DataError:
        return None
    return None if member.offset is None else replace(member, name=path.name)


def content_type(media: Media) -> str:
    """Return the media type that the browser receives."""
    return CONTENT_TYPES.get(Path(media.name).suffix.lower(), "video/mp4")


def read_media(media: Media, wanted: range) -> Iterator[bytes]:
    """Read these bytes of the video, in pieces."""
    return read_span(Path(media.address), (media.offset or 0) + wanted.start, len(wanted))


@contextmanager
def opened(media: Media) -> Iterator[Path]:
    """Give decoders a file with just this video in it; a member of a tar is copied out for as long as it is used."""
    if Path(media.address).name == media.name:
        yield Path(media.address)
        return
    with tempfile.NamedTemporaryFile(suffix=Path(media.name).suffix) as copy:
        copy.writelines(read_media(media, range(media.size)))
        copy.flush()
        yield Path(copy.name)


def wanted_range(header: str | None, size: int) -> range | None:
    """Return the bytes that a Range header requests; all where it is absent or may be ignored (RFC 9110).

    None where it asks for nothing that the file has.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip(), flags=re.ASCII)
    if match is None or match[0] == "bytes=-":
        return range(size)
    first, last = match[1], match[2]
    if not first:
        requested = range(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return range(size)
    else:
        requested = range(int(first), min(int(last) + 1, size) if last else size)
    return requested or None


@lru_cache(maxsize=256)
def centre_jpeg(source: str, start: float, end: float | None, short_side: int = 480) -> bytes:
    """Return the frame at the centre of a clip, which is what a teacher captioned, as a JPEG file. Without an `end` the
    clip is all of the file. Raises DecodeError."""
    from pseudocap.video.decode import open_video
    from pseudocap.video.picture import jpeg

    media = locate_media(source)
    if media is None:
        raise DecodeError(source, "there is no such file")
    with opened(media) as path, open_video(path, threads=1, short_side=short_side) as reader:
        last = reader.info.duration if end is None else end
        pixels = reader.frames_at([(start + last) / 2]).pixels[0]
    return jpeg(pixels, quality=QUALITY)
