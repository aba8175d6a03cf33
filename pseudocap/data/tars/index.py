"""Index where the samples of tars begin, so that a stream can take any one of them without reading the others.

webdataset reads tars from their beginning and keeps no state (1.0.2), so a resumed run would read all that it skips,
and what its shuffle buffer held is lost. With an index every order is possible and resuming costs nothing; the price
is that tars must be files, not pipes or addresses, and that each is read once, header by header.

The index of `00000.tar` is `.pseudocap/00000.tar.offsets` beside it, where every sample begins and the last one ends;
and `.pseudocap/counts.json`, written last, has for every tar its number of samples and, as its size and time of the
last change, the state of the tar for which that holds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.data.tars.samples import split_name
from pseudocap.errors import DataError, first_line
from pseudocap.files.atomic import write_bytes
from pseudocap.files.tars import BROKEN, tar_fault, tar_members
from pseudocap.types import Progress

FOLDER = ".pseudocap"
COUNTS = "counts.json"
FORMAT = 1
OFFSET = np.dtype("<i8")
_log = logging.getLogger(__name__)

Tars = str | Path | Sequence[str | Path]  # jsonargparse would read null as the text "None" if a PathLike were possible


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedTar:
    """Hold a tar, its size, its number of samples, and the file of their offsets. `fault`: why its end is missing."""

    path: Path
    bytes: int
    samples: int
    offsets: Path
    fault: str = ""


def find_tars(source: Tars) -> tuple[Path, ...]:
    """Find a tar, the tars of a folder by name, or those of several such, in the order given."""
    if not isinstance(source, str | PathLike):
        return tuple(tar for each in source for tar in find_tars(each))
    path = Path(source)
    if path.is_dir():
        if not (tars := tuple(sorted(path.glob("*.tar")))):
            raise DataError(f"{path} holds no .tar; name a folder of tars, or the tars themselves")
        return tars
    if not path.is_file():
        raise DataError(f"{path}: there is no such tar or folder")
    return (path,)


def index_tars(
    source: Tars, *, folder: str | PathLike[str] | None = None, progress: Progress | None = None
) -> tuple[IndexedTar, ...]:
    """Index tars, reading only those that are new or have changed.

    `folder` holds the index where the tars' own folder must not be written to.
    """
    tars = find_tars(source)
    homes = {parent: _home(parent, folder) for parent in {tar.parent for tar in tars}}
    known = {parent: _read_counts(home / COUNTS) for parent, home in homes.items()}
    indexed: list[IndexedTar] = []
    dirty: set[Path] = set()
    try:
        for done, tar in enumerate(tars, start=1):
            home, counts = homes[tar.parent], known[tar.parent]
            offsets = home / f"{tar.name}.offsets"
            if not _is_current(counts.get(tar.name), tar, offsets):
                counts[tar.name] = _index(tar, offsets)
                dirty.add(tar.parent)
            entry = {name: counts[tar.name][name] for name in ("bytes", "samples", "fault")}
            if entry["fault"]:
                _log.warning("%s: %s; its %d complete samples are used", tar, entry["fault"], entry["samples"])
            indexed.append(IndexedTar(path=tar, offsets=offsets, **entry))
            if progress is not None:
                progress(done, len(tars))
    finally:  # what is done is stored, also where a long indexing is interrupted
        for parent in dirty:
            document = json.dumps({"format": FORMAT, "tars": known[parent]}, indent=1)
            _write(homes[parent] / COUNTS, document.encode())
    return tuple(indexed)


def _is_current(entry: dict[str, Any] | None, tar: Path, offsets: Path) -> bool:
    return (
        entry is not None
        and {name: entry[name] for name in ("bytes", "mtime_ns")} == _state(tar)
        and offsets.is_file()
        and offsets.stat().st_size == (entry["samples"] + 1) * OFFSET.itemsize
    )


def _home(parent: Path, folder: str | PathLike[str] | None) -> Path:
    if folder is None:
        return parent / FOLDER
    name = hashlib.sha256(os.fsencode(parent.resolve())).hexdigest()[:16]  # two folders may have tars of one name
    return Path(folder) / name


def _state(tar: Path) -> dict[str, int]:
    status = tar.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _read_counts(path: Path) -> dict[str, dict[str, Any]]:
    """Read the counts; none where the file is missing, of another version or not ours, since it can be made anew."""
    try:
        document = json.loads(path.read_bytes())
        if document["format"] == FORMAT:
            names = {"bytes", "mtime_ns", "samples", "fault"}
            return {name: entry for name, entry in document["tars"].items() if set(entry) == names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}


def _index(tar: Path, offsets: Path) -> dict[str, Any]:
    state = _state(tar)  # before it is read: what changes meanwhile is noticed the next time
    starts, fault = scan(tar)
    _write(offsets, np.asarray(starts, OFFSET).tobytes())
    return {**state, "samples": len(starts) - 1, "fault": fault}


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content, contested=True)
    except OSError as error:
        problem = f"{first_line(error)}; name a folder for the index that can be written (index=)"
        raise DataError(f"{path}: the index of the tars cannot be written: {problem}") from error


def span_of(tar: IndexedTar, row: int) -> tuple[int, int]:
    """Return where a sample of a tar begins and ends: two numbers are read, and no file stays open."""
    try:
        start, end = np.fromfile(tar.offsets, OFFSET, count=2, offset=row * OFFSET.itemsize).tolist()
    except (OSError, ValueError) as error:
        problem = f"the index of a tar cannot be read ({first_line(error)}); remove it, and it is made anew"
        raise DataError(f"{tar.offsets}: {problem}") from error
    return start, end


def scan(tar: Path) -> tuple[list[int], str]:
    """Return the offset of every sample and of the last one's end; and why the end of the tar is missing, if it is.

    Only headers are read. A sample that the end of the file may have cut is left out, as `read_shard` does.
    """
    starts: list[int] = []
    before, finish = "", 0
    try:
        for name, start, _, _, end in tar_members(tar):
            key, _ = split_name(name)
            if not starts or key != before:
                starts.append(start)
            before, finish = key, end
    except BROKEN as error:
        return starts or [0], tar_fault(error)  # the last sample's start is the end of the one before
    return [*starts, finish], ""
