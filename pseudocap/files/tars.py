"""Find the members of tars, header by header, and check that a tar has its end."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pseudocap.errors import first_line

BLOCK, PIECE = tarfile.BLOCKSIZE, 1 << 18
BROKEN = (tarfile.TarError, EOFError, OSError)  # what reading a damaged tar raises
Member = tuple[str, int, int, int, int]  # name, where its headers begin, where its content begins, bytes, where it ends


def tar_members(tar: Path) -> Iterable[Member]:
    """List the files of a tar in its order. Raise one of BROKEN, after these files, where the end is missing."""
    return _plain_members(tar) or _members(tar)


def tar_fault(error: BaseException) -> str:
    """Explain one of BROKEN to the user."""
    return f"{first_line(error)}: it is no tar or was cut short; fetch it again"


def require_end(tar: Path, offset: int) -> None:
    """Raise ReadError unless the empty block that ends a tar is where its reading stopped.

    tarfile takes a damaged header for the end, and so does not report what it omits.
    """
    with tar.open("rb") as file:
        file.seek(offset)
        block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise tarfile.ReadError("its end is missing")
    if any(block):
        raise tarfile.ReadError(f"the header at byte {offset:,} is damaged")


def read_span(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """Read so many bytes of a file, such as a member's, in pieces; fewer where the file ends before."""
    with path.open("rb") as file:
        file.seek(offset)
        while size and (piece := file.read(min(PIECE, size))):
            size -= len(piece)
            yield piece


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without time or owner, so that the same contents give the same tar."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _plain_members(tar: Path) -> list[Member] | None:
    """Read 4 to 5 times as fast as by tarfile (pseudocap/bench/speed/streams.py).

    None where there is anything but complete, plain headers with right checksums: then tarfile reads them.
    """
    found: list[Member] = []
    position = 0
    with tar.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while True:
            header = os.pread(file.fileno(), BLOCK, position)
            if header == bytes(BLOCK):
                return found
            if len(header) < BLOCK or header[156] not in b"0\0" or header[257:262] != b"ustar":
                return None
            try:
                length, checksum = int(header[124:136].rstrip(b"\0 "), 8), int(header[148:156].rstrip(b"\0 "), 8)
                name, prefix = (header[a:b].split(b"\0", 1)[0].decode("utf-8") for a, b in ((0, 100), (345, 500)))
            except ValueError:
                return None
            if checksum != sum(header) - sum(header[148:156]) + 8 * 0x20:
                return None
            end = position + BLOCK + (length + BLOCK - 1) // BLOCK * BLOCK
            if end > size:
                return None
            found.append((f"{prefix}/{name}" if prefix else name, position, position + BLOCK, length, end))
            position = end


def _members(tar: Path) -> Iterator[Member]:
    """Read them by tarfile, which knows every kind of header."""
    with tarfile.open(tar, mode="r:") as archive:
        start = 0  # of the next member's headers: a long name has one of its own before the member's
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile stores every member that it read
            end = member.offset_data + (member.size + BLOCK - 1) // BLOCK * BLOCK
            if member.isfile():
                yield member.name, start, member.offset_data, member.size, end
            start = archive.offset
    require_end(tar, archive.offset)
