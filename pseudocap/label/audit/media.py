"""Give a browser a video: where its bytes lie, a range of them, their type, the centre frame."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pseudocap.errors import DataError, DecodeError
from pseudocap.files.tars import read_span
from pseudocap.label.sources import member_of

# A player looks at the bytes, not at this, but refuses types that it has not heard of.
CONTENT_TYPES = {".webm": "video/webm", ".mkv": "video/x-matroska", ".ogv": "video/ogg", ".avi": "video/x-msvideo"}
QUALITY = 88


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditMedia:
    """Locate a video: `size` bytes of a file from `offset` on, all or a member of a tar. `name` has its extension."""

    file: Path
    offset: int
    size: int
    name: str

    @property
    def content_type(self) -> str:
        """Return the media type that the browser receives."""
        return CONTENT_TYPES.get(Path(self.name).suffix.lower(), "video/mp4")

    def read(self, wanted: range) -> Iterator[bytes]:
        """Read these bytes of the video, in pieces."""
        return read_span(self.file, self.offset + wanted.start, len(wanted))


def locate_media(source: str) -> AuditMedia | None:
    """Find a source of the labels on this machine: a file, or `00000.tar/000000012.mp4`; None where there is none."""
    path = Path(source)
    if path.is_file():
        return AuditMedia(file=path, offset=0, size=path.stat().st_size, name=path.name)
    try:
        member = member_of(source)
    except DataError:
        return None
    if member.offset is None or member.size is None:
        return None
    return AuditMedia(file=Path(member.address), offset=member.offset, size=member.size, name=path.name)


@contextmanager
def opened(media: AuditMedia) -> Iterator[Path]:
    """Give decoders a file with just this video in it; a member of a tar is copied out for as long as it is used."""
    if media.file.name == media.name:
        yield media.file
        return
    with tempfile.NamedTemporaryFile(suffix=Path(media.name).suffix) as copy:
        copy.writelines(media.read(range(media.size)))
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


@lru_cache(maxsize=64)
def centre_jpeg(source: str, start: float, end: float, short_side: int = 480) -> bytes:
    """Return the frame that the teacher captioned, as a JPEG file. Raises DecodeError."""
    from pseudocap.video.decode import open_video
    from pseudocap.video.picture import jpeg

    media = locate_media(source)
    if media is None:
        raise DecodeError(source, "there is no such file")
    with opened(media) as path, open_video(path, threads=1, short_side=short_side) as reader:
        pixels = reader.frames_at([(start + end) / 2]).pixels[0]
    return jpeg(pixels, quality=QUALITY)
