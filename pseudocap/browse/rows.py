"""Read labels and captions as rows that people look through, each under a name that stays from run to run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pseudocap.data.corpora.own import read_own
from pseudocap.data.videos import VideoFolder
from pseudocap.label.row_labels import row_files
from pseudocap.label.schema import holds_labels, identity, label_files, locate, read_root
from pseudocap.label.schema import read_rows as read_stored_labels
from pseudocap.rows import CaptionRow, read_rows
from pseudocap.types import IMAGE_EXTENSIONS, CaptionedVideo, Pseudolabel

CARRIED = ("split", "language", "checkpoint", "run", "parent")  # fields of a caption row that an export writes again


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseRow:
    """Hold one caption of one clip. `video` is how the data names the file, `path` where it lies here.

    `start` and `end` are None where the caption is of the whole file; `verdicts` are the filters' objections, and a row
    with an `error` has no caption. `rest` is what else an export writes of the row.
    """

    id: str
    video: str
    path: str
    start: float | None
    end: float | None
    caption: str
    confidence: float | None = None
    verdicts: tuple[str, ...] = ()
    error: str = ""
    rest: Mapping[str, object] = field(default_factory=dict)

    @property
    def still(self) -> bool:
        """Return whether the file is a picture."""
        return self.path.lower().endswith(IMAGE_EXTENSIONS)


def read_browse_rows(path: Path, *, videos: Path | None = None) -> Iterator[BrowseRow]:
    """Read the rows of labels or captions. `videos` says where the files lie, if not where they were or beside."""
    return label_rows(path, videos) if holds_labels(path) else caption_rows(path, videos)


def label_rows(folder: Path, videos: Path | None = None) -> Iterator[BrowseRow]:
    """Read every label of a run, in its order, one row group in memory at a time."""
    for path in label_files(folder):
        root = str(videos) if videos is not None else read_root(path)
        for row_id, label in labels_with_ids(read_stored_labels(path)):
            has_clip = label.clip.end > label.clip.start
            yield BrowseRow(
                id=row_id,
                video=label.clip.source,
                path=locate(label.clip.source, root),
                start=label.clip.start if has_clip else None,
                end=label.clip.end if has_clip else None,
                caption=label.caption,
                confidence=label.confidence,
                verdicts=label.verdicts,
                error=label.error,
                rest=_given(checkpoint=label.teacher, run=label.run, language=label.language),
            )


def labels_with_ids(labels: Iterable[Pseudolabel]) -> Iterator[tuple[str, Pseudolabel]]:
    """Yield each label of a shard with its id: its identity, numbered where a rewriter has made several of one."""
    known: Counter[str] = Counter()
    for label in labels:
        yield _numbered(identity(label), known), label


def caption_rows(path: Path, videos: Path | None = None) -> Iterator[BrowseRow]:
    """Read every caption of caption rows (docs/rows.md), or of a folder of videos with text files."""
    folder = VideoFolder(videos or (path if path.is_dir() else path.absolute().parent))
    known: Counter[str] = Counter()
    for row in _read_captions(path):
        file = _file_of(row.video, folder)
        for caption in row.captions or ("",):
            content = json.dumps([row.video, row.start, row.end, caption, row.split])
            name = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:24]
            yield BrowseRow(
                id=_numbered(name, known),
                video=row.video,
                path=file,
                start=row.start,
                end=row.end,
                caption=caption,
                confidence=row.confidence,
                verdicts=row.verdicts,
                error=row.error,
                rest=_given(**{name: getattr(row, name) for name in CARRIED}, **row.others),
            )


def _read_captions(path: Path) -> Iterator[CaptionRow]:
    if files := row_files(path) or (() if path.is_dir() else (path,)):
        for file in files:
            yield from read_rows(file, strict=False)
        return
    for row in read_own(path, split="").rows:
        yield CaptionRow(video=row.video, captions=row.captions)


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _file_of(video: str, folder: VideoFolder) -> str:
    """Return where a video lies: below the folder, at its own path as `pseudocap caption` writes it, or by its name."""
    for path in (folder.root / video, Path(video)):
        if path.is_file():
            return str(path)
    named = CaptionedVideo(id=video, video=video, captions=(), split="")
    return str(folder.find(named) or folder.root / video)


def _numbered(row_id: str, known: Counter[str]) -> str:
    known[row_id] += 1
    return row_id if known[row_id] == 1 else f"{row_id}-{known[row_id]}"
