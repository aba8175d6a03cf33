"""Read MSR-VTT: 10,000 clips with 20 captions each, in any of its three layouts of files.

The official pair, the one file of the 2017 challenge and MSRVTT_data.json all hold the same two tables, `videos` and
`sentences`, and split the videos alike; the validation split is called `validate` or `val`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pseudocap.data.corpora.base import SPLITS, Annotations, Checks, Corpus, annotation_files, fixed_corpus, split_name
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo, Origin

LAYOUTS = (
    ("train_val_videodatainfo.json", "test_videodatainfo.json"),
    ("videodatainfo_2017.json",),
    ("MSRVTT_data.json",),
)
VIDEOS = {"train": 6513, "val": 497, "test": 2990}
CAPTIONS_EACH = 20


def read_msrvtt(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from a folder that holds one of the layouts, or from its file or files by whatever name."""
    files = annotation_files(annotations, LAYOUTS, corpus="MSR-VTT")
    checks = Checks(allow_partial=allow_partial)
    videos: dict[str, CaptionedVideo] = {}
    captions: dict[str, list[str]] = {}
    for path in files:
        document = reading.read_document(path)
        for row in _videos(document, path):
            if row.id in videos:
                raise DataError(f"{path}: the video {row.id!r} appears twice, or in two of the files; keep one")
            videos[row.id], captions[row.id] = row, []
        _add_sentences(captions, document, path, checks)
    rows = [replace(row, captions=tuple(captions[row.id])) for row in videos.values()]
    return fixed_corpus("msrvtt", rows, files=files, checks=checks, videos=VIDEOS, captions_each=CAPTIONS_EACH)


def _videos(document: object, path: Path) -> Iterator[CaptionedVideo]:
    for position, record in enumerate(reading.field(document, "videos", list, where=str(path))):
        where = f"{path}, videos[{position}]"
        name = reading.identifier(reading.field(record, "video_id", str, where=where), "video_id", where=where)
        where = f"{where} ({name})"
        split = split_name(reading.field(record, "split", str, where=where))
        if split not in SPLITS:
            raise DataError(f"{where}: split is {split!r} and must be one of train, validate, test")
        yield CaptionedVideo(
            id=name,
            video=name,
            captions=(),
            split=split,
            category=reading.field(record, "category", int, where=where) if "category" in record else None,
            origin=_origin(record, where) if "url" in record else None,
        )


def _origin(record: dict[str, object], where: str) -> Origin:
    names = ("start time", "end time")
    start, end = reading.span(*(record.get(name) for name in names), where=where, names=names)
    return Origin(url=reading.field(record, "url", str, where=where), start=start, end=end)


def _add_sentences(captions: dict[str, list[str]], document: object, path: Path, checks: Checks) -> None:
    for position, record in enumerate(reading.field(document, "sentences", list, where=str(path))):
        where = f"{path}, sentences[{position}]"
        name = reading.field(record, "video_id", str, where=where).strip()
        where = f"{where} ({name})"
        if name not in captions:
            checks.skip(
                "captions of unknown videos", DataError(f"{where}: no such video among 'videos'; take the row out")
            )
            continue
        captions[name] += checks.caption(record.get("caption"), where=where)
