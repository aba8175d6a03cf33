"""Read VATEX: clips of ten seconds with ten captions each in English and ten in Chinese, either of which is a corpus.

A file is a list of `{"videoID": "<youtube>_<start>_<end>", "enCap": [..], "chCap": [..]}`; its name contains the split.
The test files have one language each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files, youtube
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

LAYOUT = ("vatex_training_v1.0.json", "vatex_validation_v1.0.json", "vatex_public_test_english_v1.1.json")
CHINESE = (*LAYOUT[:2], "vatex_public_test_chinese_v1.1.json")
VIDEOS = {"train": 25_991, "val": 3_000, "test": 6_000}
CAPTIONS_EACH = 10
CLIP = re.compile(r"(?P<youtube>.{11})_(?P<start>\d{6})_(?P<end>\d{6})")


def read_vatex(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the official files, or from files whose names contain train, val or test."""
    return _read("vatex", "enCap", split_files(annotations, LAYOUT, corpus="VATEX"), allow_partial)


def read_vatex_zh(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read its Chinese captions, as `read_vatex` does the English ones."""
    return _read("vatex-zh", "chCap", split_files(annotations, CHINESE, corpus="VATEX in Chinese"), allow_partial)


def _read(name: str, field: str, files: Mapping[Path, str], allow_partial: bool) -> Corpus:
    checks = Checks(allow_partial=allow_partial)
    rows: dict[str, CaptionedVideo] = {}
    for path, split in files.items():
        for where, record in reading.records(path, "videos", f"{{'videoID': .., '{field}': [..]}}"):
            row = _row(record, field, split, checks, where=where)
            if row.id in rows:
                raise DataError(f"{where}: the video {row.id!r} appeared before; keep one of them")
            rows[row.id] = row
    return fixed_corpus(
        name, list(rows.values()), files=tuple(files), checks=checks, videos=VIDEOS, captions_each=CAPTIONS_EACH
    )


def _row(record: object, field: str, split: str, checks: Checks, *, where: str) -> CaptionedVideo:
    name = reading.identifier(reading.field(record, "videoID", str, where=where), "videoID", where=where)
    where = f"{where} ({name})"
    captions: list[str] = []
    for position, text in enumerate(reading.field(record, field, list, where=where)):
        captions += checks.caption(text, where=where, name=f"{field}[{position}]")
    origin = None
    if clip := CLIP.fullmatch(name):
        origin = youtube(clip["youtube"], *reading.span(clip["start"], clip["end"], where=where))
    return CaptionedVideo(id=name, video=name, captions=tuple(captions), split=split, origin=origin)
