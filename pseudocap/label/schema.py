"""Read and write labels: one parquet file per shard of sources, one row per clip, in the order of the sources.

    for label in read_labels("labels"):
        label.clip.source, label.clip.start, label.caption, label.kept

Column by column in docs/labels.md. `source` is relative to a root that the file's metadata names, so that a folder of
videos may move: `read_labels(folder, root="where/they/are/now")`. A video within a tar is named as if the tar were a
folder: `00000.tar/000000012.mp4`. A finished file is never changed in place; it is written beside itself and renamed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from pseudocap.errors import DataError, first_line
from pseudocap.files.remote import AnyPath, RemotePath, any_path, names_in, write_atomic
from pseudocap.types import Clip, Pseudolabel

VERSION, READABLE = 2, (1, 2)  # rows of version 1 have no language and no parent
METADATA = b"pseudocap_labels"
MINED = "mined"  # the teacher of what pseudocap.mine writes

TEXT, REAL = pyarrow.string(), pyarrow.float64()
TEXTS, REALS = pyarrow.list_(TEXT), pyarrow.list_(REAL)
COLUMNS = (
    *(("source", TEXT), ("start", REAL), ("end", REAL), ("centre", REAL), ("frame_times", REALS)),
    *(("captions", TEXTS), ("log_probs", REALS), ("confidence", REAL), ("teacher", TEXT), ("revision", TEXT)),
    *(("settings", TEXT), ("seed", pyarrow.int64()), ("run", TEXT), ("verdicts", TEXTS)),
    *(("status", TEXT), ("error", TEXT), ("language", TEXT), ("parent", TEXT)),
)
NULLABLE = ("confidence", "revision", "language", "parent")
SCHEMA = pyarrow.schema([pyarrow.field(name, kind, nullable=name in NULLABLE) for name, kind in COLUMNS])
OWN = tuple(name for name in SCHEMA.names if name in Pseudolabel.__slots__)  # the columns that a label has as fields
LATER = {"run", "language", "parent"}  # which older files lack


def shard_path(folder: str | PathLike[str] | RemotePath, number: int) -> AnyPath:
    """Return where the labels of a shard of sources lie."""
    return any_path(folder) / f"{number:06d}.parquet"


def finished_shards(folder: str | PathLike[str] | RemotePath) -> set[int]:
    """Return the numbers of the shards whose files are there, by one listing of the folder."""
    names = names_in(any_path(folder))
    return {int(name.removesuffix(".parquet")) for name in names if re.fullmatch(r"\d{6,}\.parquet", name)}


def label_files(folder: str | PathLike[str] | RemotePath) -> tuple[AnyPath, ...]:
    """Return the finished files of a labelling run, in the order of its shards."""
    home = any_path(folder)
    if home.name.endswith(".parquet") and home.is_file():
        return (home,)
    if not isinstance(home, RemotePath) and not home.is_dir():
        raise DataError(f"{home}: there is no such folder; name the --out of a `pseudocap label`")
    files = tuple(shard_path(home, number) for number in sorted(finished_shards(home)))
    if not files:
        raise DataError(
            f"{home} holds no finished shard of labels (000000.parquet, ...); label something into it first"
        )
    return files


def read_labels(
    folder: str | PathLike[str] | RemotePath, *, root: str | PathLike[str] | None = None
) -> Iterator[Pseudolabel]:
    """Read every label of a run, one row group in memory at a time; or those of one file.

    Each clip's source is a path that can be opened, below `root` where the videos have moved.
    """
    for path in label_files(folder):
        home = os.fspath(root) if root is not None else read_root(path)
        for label in read_rows(path):
            yield replace(label, clip=replace(label.clip, source=locate(label.clip.source, home)))


def read_rows(path: AnyPath) -> Iterator[Pseudolabel]:
    """Read the labels of one file with their sources as they are stored, relative to its root."""
    with _opened(path) as (file, _):
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                yield _label(row)


def holds_labels(path: Path) -> bool:
    """Return whether a folder or a file holds what `pseudocap label` writes, and not captions or a table of them."""
    if path.is_dir() or path.suffix.lower() != ".parquet":
        return bool(finished_shards(path))
    try:
        with path.open("rb") as stored, pyarrow.parquet.ParquetFile(stored) as file:
            return METADATA in (file.schema_arrow.metadata or {})
    except (pyarrow.ArrowException, OSError):
        return False


def read_root(path: AnyPath) -> str:
    """Read the folder that the sources of a file are relative to."""
    with _opened(path) as (_, metadata):
        return str(metadata["root"])


def identity(label: Pseudolabel) -> str:
    """Return what names a row as it is stored (`read_rows`): a hash of its run, clip, language and parent."""
    clip = label.clip
    fields = [label.run, clip.source, clip.start, clip.end, label.language, label.parent]
    return hashlib.sha256(json.dumps(fields).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def write_labels(path: AnyPath, labels: Sequence[Pseudolabel], *, root: str) -> None:
    """Write a file of labels, all of it or nothing: the rename is what ends a shard."""
    rows = [_row(label) for label in labels]
    metadata = {METADATA: json.dumps({"version": VERSION, "root": root}, sort_keys=True).encode()}
    table = pyarrow.Table.from_pylist(rows, schema=SCHEMA.with_metadata(metadata))
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, compression="zstd", row_group_size=8192)
    write_atomic(path, file.getvalue())


@contextmanager
def _opened(path: AnyPath) -> Iterator[tuple[pyarrow.parquet.ParquetFile, dict[str, Any]]]:
    """Open a file of labels, with the metadata that only such files have."""
    try:
        with path.open("rb") as stored, pyarrow.parquet.ParquetFile(stored) as file:
            metadata = (file.schema_arrow.metadata or {}).get(METADATA)
            if metadata is None:
                raise DataError(f"{path} is no file of labels: its metadata has no {METADATA.decode()}")
            document: dict[str, Any] = json.loads(metadata)
            if document["version"] not in READABLE:
                raise DataError(
                    f"{path} has labels of version {document['version']}, and this pseudocap reads versions 1 to "
                    f"{VERSION}; read it with the version that wrote it, or label anew"
                )
            yield file, document
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as labels ({first_line(error)}); remove it, and run the labelling again"
        ) from error


def locate(source: str, root: str) -> str:
    """Return a stored source as an address: below the root, unless it is an address by itself."""
    return source if not root or "://" in source else f"{root.rstrip('/')}/{source}"


def _row(label: Pseudolabel) -> dict[str, Any]:
    clip = label.clip
    times = {"start": clip.start, "end": clip.end, "centre": clip.centre}
    own = {name: getattr(label, name) for name in OWN}
    return {"source": clip.source, **times, **own, "status": "failed" if label.failed else "ok"}


def _label(row: dict[str, Any]) -> Pseudolabel:
    own = {name: row[name] for name in OWN if name in row or name not in LATER}
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    return Pseudolabel(clip=Clip(source=row["source"], start=row["start"], end=row["end"]), **own)
