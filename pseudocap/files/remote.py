"""Reach files by path or by an address that fsspec knows (`s3://bucket/labels`), with one interface.

A file is complete or absent. On this machine it is written beside its path and renamed. In an object store (S3, GCS,
Azure) a put is that already; in what is none (SFTP, HDFS, SMB) it is put beside its path and moved.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeAlias

from pseudocap.errors import DataError, first_line
from pseudocap.files.atomic import write_bytes

# Here nobody can read what has been put in part, so nothing needs to be moved.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf", "memory"}

EXTRAS = {"s3": "pip install 'pseudocap[s3]'", "gs": "pip install gcsfs", "gcs": "pip install gcsfs"}


@dataclass(frozen=True, slots=True)
class RemotePath:
    """Offer those methods of pathlib's Path that labelling needs, for an address."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    def exists(self) -> bool:
        with self._reached("looked up") as (filesystem, path):
            filesystem.invalidate_cache()
            return bool(filesystem.exists(path))

    def is_file(self) -> bool:
        with self._reached("looked up") as (filesystem, path):
            return bool(filesystem.isfile(path))

    def stamp(self) -> tuple[int, str]:
        """Return the size in bytes, and what its store says of the content: a tag, else when it was written."""
        with self._reached("looked up") as (filesystem, path):
            info = filesystem.info(path)
            marks = (info.get(name) for name in ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime"))
            return int(info["size"]), str(next(filter(None, marks), ""))

    def names(self) -> set[str]:
        """Return the names directly below."""
        with self._reached("listed") as (filesystem, path):
            filesystem.invalidate_cache()
            try:
                found = filesystem.ls(path, detail=False)
            except FileNotFoundError:
                return set()
            return {str(name).rstrip("/").rpartition("/")[2] for name in found}

    def open(self, mode: str = "rb") -> BinaryIO:
        with self._reached("opened") as (filesystem, path):
            opened: BinaryIO = filesystem.open(path, mode)
            return opened

    def read_bytes(self) -> bytes:
        with self._reached("read") as (filesystem, path):
            return bytes(filesystem.cat_file(path))

    def put(self, content: bytes) -> None:
        with self._reached("written") as (filesystem, path):
            protocol = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
            if _OBJECT_STORES.intersection(protocol):
                filesystem.pipe_file(path, content)
                return
            home, _, name = path.rpartition("/")
            beside = f"{home}/.{name}.part"
            filesystem.makedirs(home, exist_ok=True)
            filesystem.pipe_file(beside, content)
            filesystem.mv(beside, path)

    def unlink(self, missing_ok: bool = False) -> None:
        with self._reached("removed") as (filesystem, path):
            try:
                filesystem.rm_file(path)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def files(self) -> list[RemotePath]:
        """List every file below, by name."""
        with self._reached("listed") as (filesystem, path):
            return [RemotePath(str(filesystem.unstrip_protocol(name))) for name in sorted(filesystem.find(path))]

    def matching(self) -> list[RemotePath]:
        """List the files that match it where it is a pattern, else itself."""
        with self._reached("looked up") as (filesystem, path):
            found = sorted(filesystem.glob(path)) if glob.has_magic(path) else [path]
            return [RemotePath(str(filesystem.unstrip_protocol(name))) for name in found]

    def fetch(self, target: Path) -> None:
        with self._reached("fetched") as (filesystem, path):
            filesystem.get_file(path, str(target))

    @contextlib.contextmanager
    def _reached(self, what: str) -> Iterator[tuple[Any, str]]:
        """Give the file system and the path in it; turn its errors into ours, but for OSErrors."""
        reached = filesystem_at(self.url)
        try:
            yield reached
        except OSError:
            raise
        except Exception as error:
            raise DataError(f"{self.url} cannot be {what}: {first_line(error)}") from error


AnyPath: TypeAlias = Path | RemotePath


def filesystem_at(url: str) -> tuple[Any, str]:
    """Return the file system of fsspec behind an address, and the path in it."""
    import fsspec

    scheme = url.partition("://")[0].lower()
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        way = EXTRAS.get(scheme, first_line(error))
        raise DataError(f"{url}: reading {scheme}:// needs another package: {way}") from error
    except Exception as error:  # every file system has its own way of refusing an address
        raise DataError(f"{url} cannot be reached: {first_line(error)}") from error


def any_path(address: str | PathLike[str] | RemotePath) -> AnyPath:
    """Return a folder or file by its path or address; `file:///labels` is one of this machine."""
    if isinstance(address, RemotePath):
        return address
    text = os.fspath(address)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    return RemotePath(text) if "://" in text else Path(text)


def listed(url: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the address where it is of a file, else those of the files below it that end in one of the suffixes."""
    address = RemotePath(url)
    try:
        if address.is_file():
            return [url]
        return [each.url for each in address.files() if each.url.lower().endswith(suffixes)]
    except OSError as error:
        raise DataError(f"{url} cannot be listed: {first_line(error)}") from error


def names_in(folder: AnyPath) -> set[str]:
    """Return the names in a folder; none where there is no folder."""
    if isinstance(folder, RemotePath):
        return folder.names()
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def write_atomic(path: AnyPath, content: bytes) -> None:
    """Write all of it or nothing, also where the power fails."""
    try:
        if isinstance(path, RemotePath):
            path.put(content)
        else:
            write_bytes(path, content, durable=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({first_line(error)}); what is finished is complete: make room, and run "
            "again to go on"
        ) from error
