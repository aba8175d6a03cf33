"""Read a dataset of Hugging Face `datasets` with a column of videos as a corpus of one's own captions.

Nothing is decoded here: a video on this disk is read from its path, one whose bytes are in the table is
written to a cache once, under a name that is a hash of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.data.corpora.base import Corpus, split_name
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.files.atomic import write_bytes
from pseudocap.types import CaptionedVideo

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

CAPTIONS = ("caption", "captions", "text")


def is_dataset(source: object) -> bool:
    """Recognise a dataset without importing `datasets`, which its owner has imported."""
    return type(source).__module__.partition(".")[0] == "datasets"


def read_dataset(source: Dataset | DatasetDict, *, train: str = "train", val: str = "val") -> tuple[Corpus, Path]:
    """Return the corpus, and the folder that its videos are named from. A dataset without splits is for training."""
    parts = source if isinstance(source, Mapping) else {train: source}
    found = []
    for name, part in parts.items():
        column, captions = _columns(part)
        found += [
            (val if split_name(name) == "val" else name, path, texts)
            for path, texts in _rows(part, column, captions, name)
        ]
    if not found:
        raise DataError("the dataset holds no row; name one with videos and captions")
    root = Path(os.path.commonpath([path.parent for _, path, _ in found]))
    merged: dict[tuple[str, str], list[str]] = {}
    for name, path, texts in found:
        merged.setdefault((name, path.relative_to(root).as_posix()), []).extend(texts)
    rows = (
        CaptionedVideo(id=video, video=video, captions=tuple(texts), split=name)
        for (name, video), texts in merged.items()
    )
    return Corpus(name="datasets", rows=tuple(rows), files=()), root


def _columns(part: Dataset) -> tuple[str, str]:
    """Return the names of the column of videos and of that of captions."""
    videos = [name for name, feature in part.features.items() if type(feature).__name__ == "Video"]
    videos = videos or [name for name in ("video",) if name in part.features]
    captions = [name for name in CAPTIONS if name in part.features]
    there = ", ".join(part.features)
    if len(videos) != 1:
        raise DataError(f"the dataset must have one column of videos, and has {len(videos)} among {there}")
    if not captions:
        raise DataError(f"the dataset has no column {' or '.join(CAPTIONS)}, only {there}; rename yours")
    return videos[0], captions[0]


def _rows(part: Dataset, column: str, captions: str, split: str) -> Iterator[tuple[Path, list[str]]]:
    from datasets import Video

    part = part.select_columns([column, captions])
    if type(part.features[column]).__name__ == "Video":
        part = part.cast_column(column, Video(decode=False))
    for number, row in enumerate(part):
        where = f"the dataset, split {split}, row {number}"
        texts = row[captions] if isinstance(row[captions], list) else [row[captions]]
        yield _video(row[column], where), [reading.caption(text, where=where) for text in texts]


def _video(value: Any, where: str) -> Path:
    path, content = (value.get("path"), value.get("bytes")) if isinstance(value, Mapping) else (value, None)
    if content is not None:
        from huggingface_hub import constants

        name = hashlib.sha256(content).hexdigest()[:32] + (Path(path or "").suffix or ".mp4")
        cached = Path(constants.HF_HOME) / "pseudocap" / "videos" / name
        if not cached.is_file():
            write_bytes(cached, content, contested=True)
        return cached
    if not isinstance(path, str):
        raise DataError(f"{where}: there is neither a path nor the bytes of a video")
    if "://" in path:
        raise DataError(f"{where}: {path} is not on this machine; download the dataset's files first")
    return Path(path).absolute()
