"""Read tars of samples by img2dataset and video2dataset: `000000012.jpg` or `.mp4`, with `.txt` and `.json`.

Members of one sample follow one another and share their name up to its first dot. Beside `00000.tar` lies
`00000.parquet`, a row for every address that was tried, whose `status` marks those that became samples. A tar is read
here in order, or one sample at a time by the offsets of `index.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.base import Checks, Mismatch
from pseudocap.errors import DataError, first_line
from pseudocap.files import reading
from pseudocap.files.tars import BROKEN, require_end, tar_fault

MEDIA = ("jpg", "jpeg", "png", "webp", "mp4", "webm", "mkv", "avi", "mov", "gif")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSample:
    """Hold one image or video, still encoded, with its caption and the fields of its json."""

    key: str
    media: bytes
    extension: str
    caption: str
    metadata: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSummary:
    """Summarise a tar. `content_hash` is a sha256 of keys, media and captions in order."""

    path: Path
    samples: int
    content_hash: str
    mismatches: tuple[Mismatch, ...]


def read_shard(
    path: str | PathLike[str], *, on_broken: Callable[[DataError], None] | None = None
) -> Iterator[ShardSample]:
    """Yield the samples of one tar in its order, none but the current one in memory.

    A broken sample is raised, or passed to `on_broken` and skipped; of a tar that ends too early the complete samples
    are delivered first.
    """
    tar = Path(path)
    refuse = on_broken or _raise
    for key, members in _groups(tar, refuse):
        try:
            sample = _sample(members, key, where=f"{tar}, sample {key}")
        except DataError as error:
            refuse(error)
        else:
            yield sample


def split_name(member: str) -> tuple[str, str]:
    """Return the key of the sample that a member belongs to, and the member's extension."""
    folder, slash, name = member.rpartition("/")
    stem, _, extension = name.partition(".")
    return folder + slash + stem, extension.lower()


def read_sample(path: str | PathLike[str], start: int, end: int) -> ShardSample:
    """Read the one sample whose members lie between these two offsets of a tar, and nothing else."""
    tar = Path(path)
    members: list[tuple[str, bytes]] = []
    key = f"at byte {start:,}"
    try:
        with tar.open("rb") as file:
            file.seek(start)
            content = file.read(end - start)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if member.isfile():
                    key, extension = split_name(member.name)
                    members.append((extension, _content(archive, member)))
    except BROKEN as error:
        raise DataError(
            f"{tar}, sample {key}: {first_line(error)}: has the tar changed since it was indexed?"
        ) from error
    return _sample(members, key, where=f"{tar}, sample {key}")


def summarise_shard(path: str | PathLike[str], *, allow_partial: bool = False) -> ShardSummary:
    """Read an entire tar, and compare its number of samples with the successes in the parquet beside it, if any."""
    tar = Path(path)
    checks = Checks(allow_partial=allow_partial)
    digest = hashlib.sha256()
    samples = 0
    for sample in read_shard(tar, on_broken=lambda error: checks.skip("broken samples", error)):
        samples += 1
        media = hashlib.sha256(sample.media).hexdigest()
        digest.update(json.dumps([sample.key, sample.extension, media, sample.caption]).encode() + b"\n")
    listed = tar.with_suffix(".parquet")
    if listed.is_file():
        checks.expect("samples", _successes(listed), samples, where=str(tar), detail=f"{listed.name} lists them")
    return ShardSummary(path=tar, samples=samples, content_hash=digest.hexdigest(), mismatches=checks.mismatches)


def _raise(error: DataError) -> None:
    raise error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "a regular file has content"
    return file.read()


def _groups(tar: Path, refuse: Callable[[DataError], None]) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yield key and members (extension, content) of every sample but one that the end of the file may have cut."""
    key = ""
    members: list[tuple[str, bytes]] = []
    try:
        with tarfile.open(tar, mode="r|") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                found, extension = split_name(member.name)
                if members and found != key:
                    yield key, members
                    members = []
                key = found
                members.append((extension, _content(archive, member)))
        require_end(tar, archive.offset)
    except FileNotFoundError:
        raise DataError(f"{tar}: there is no such file") from None
    except (tarfile.TarError, EOFError) as error:
        refuse(DataError(f"{tar}: {tar_fault(error)}"))
    else:
        if members:
            yield key, members


def _sample(members: list[tuple[str, bytes]], key: str, *, where: str) -> ShardSample:
    parts = dict(members)
    for extension in parts:
        if sum(extension == other for other, _ in members) > 1:
            raise DataError(f"{where} has two members that end in .{extension}; pack it again")
    media = [extension for extension in parts if extension in MEDIA]
    if len(media) != 1:
        found = ", ".join(parts) or "nothing"
        raise DataError(f"{where} has {found} and must have one image or video ({', '.join(MEDIA)})")
    (extension,) = media
    if not parts[extension]:
        raise DataError(f"{where}: its {extension} is empty")
    if "txt" not in parts:
        raise DataError(f"{where} has no txt, so no caption; was the tar written with a caption column?")
    try:
        caption = parts["txt"].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: its txt is not UTF-8: {error}") from error
    try:
        metadata = json.loads(parts.get("json", b"{}"))
    except ValueError as error:
        raise DataError(f"{where}: its json is broken: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{where}: its json is a {type(metadata).__name__} and must be an object")
    return ShardSample(
        key=key,
        media=parts[extension],
        extension=extension,
        caption=reading.caption(caption, where=where, name="txt"),
        metadata=metadata,
    )


def _successes(listed: Path) -> int:
    import pyarrow
    import pyarrow.parquet

    try:
        status = pyarrow.parquet.read_table(listed, columns=["status"])["status"]
    except (pyarrow.ArrowException, KeyError, OSError) as error:
        raise DataError(f"{listed}: no column 'status' can be read: {first_line(error)}") from error
    return sum(value.as_py() == "success" for value in status)
