"""Read caption rows as labels: what a captioner wrote or people corrected is audited and packed as labels are."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePosixPath

from pseudocap.errors import DataError, DecodeError
from pseudocap.files.remote import AnyPath, RemotePath, any_path
from pseudocap.label.run_folder import has_plan
from pseudocap.label.schema import holds_labels, label_files, read_labels
from pseudocap.rows import SUFFIXES, CaptionRow, files_of_rows, read_rows
from pseudocap.types import Clip, Pseudolabel
from pseudocap.video.decode import probe

Source = str | PathLike[str] | RemotePath


def row_files(source: Source) -> tuple[Path, ...]:
    """Return the files of rows that a name stands for: one file, or a folder with a JSON file of each video. None are
    where labels are meant, also where there is nothing at all."""
    path = any_path(source)
    if isinstance(path, RemotePath) or holds_labels(path):
        return ()
    if path.is_dir():
        return () if has_plan(path) else tuple(files_of_rows(path))
    return (path,) if path.suffix.lower() in SUFFIXES and path.is_file() else ()


def source_files(source: Source) -> tuple[AnyPath, ...]:
    """Return the files that hold the labels or the rows."""
    return row_files(source) or label_files(source)


def read_any_labels(source: Source, *, root: str | PathLike[str] | None = None) -> Iterator[Pseudolabel]:
    """Read the labels of a run, or caption rows as labels. `root` is where the videos lie: of rows by default their own
    folder."""
    if not (files := row_files(source)):
        yield from read_labels(source, root=root)
        return
    here = any_path(source)
    assert isinstance(here, Path), "rows are on this machine"
    home = Path(root) if root is not None else here if here.is_dir() else here.parent
    for file in files:
        for row in read_rows(file):
            if not (row.captions or row.error):
                raise DataError(f"{row.where}: there is no caption; write one, or take the row out")
            yield _label(row, home)


def _label(row: CaptionRow, home: Path) -> Pseudolabel:
    source = _locate(row.video, home)
    start, end = row.start, row.end
    if start is None or end is None:
        start, end = 0.0, 0.0 if row.error else _duration(source)
    return Pseudolabel(
        clip=Clip(source=source, start=start, end=end),
        captions=row.captions,
        log_probs=(),
        confidence=row.confidence,
        frame_times=(),
        teacher=row.checkpoint,
        revision=None,
        settings="{}",
        seed=0,
        verdicts=row.verdicts,
        error=row.error,
        run=row.run,
        language=row.language or None,
        parent=row.parent or None,
    )


def _locate(video: str, home: Path) -> str:
    """Return where a video lies; leading folders that are not below `home` are dropped where that leads to a file."""
    if "://" in video:
        return video
    parts = PurePosixPath(video).parts
    shorter = (home.joinpath(*parts[first:]) for first in range(1, len(parts)))
    exact = home / video
    return str(exact if exact.is_file() else next((path for path in shorter if path.is_file()), exact))


@functools.lru_cache(maxsize=65536)  # labels are read more than once
def _duration(source: str) -> float:
    """Return how long a video lasts; 0 where it cannot be opened, which is reported where it is cut or played."""
    try:
        return probe(source).duration
    except (DecodeError, OSError):
        return 0.0
