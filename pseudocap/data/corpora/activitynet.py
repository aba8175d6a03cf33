"""Read ActivityNet Captions for paragraph-to-video retrieval: the sentences of a video, in order, are its one caption.

The files are `{"v_<youtube>": {"duration": 82.73, "timestamps": [[0.83, 19.86], ..], "sentences": ["..", ..]}}`. As
published, 10,009 videos train and the 4,917 of val_1.json test; val_2.json describes the same videos again and is not
read.
"""

from __future__ import annotations

from typing import Any

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files, youtube
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

LAYOUT = ("train.json", "val_1.json")
NAMES = {"train": "train", "val_1": "test"}
VIDEOS = {"train": 10_009, "test": 4_917}


def read_activitynet(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of train.json and val_1.json, or from files whose names hold train or val_1."""
    files = split_files(annotations, LAYOUT, corpus="ActivityNet Captions", names=NAMES)
    checks = Checks(allow_partial=allow_partial)
    rows: dict[str, CaptionedVideo] = {}
    for path, split in files.items():
        document = reading.read_document(path)
        if not isinstance(document, dict):
            raise DataError(f"{path} must hold an object of videos, {{'v_..': {{'sentences': [..]}}, ..}}")
        for name, record in document.items():
            if name in rows:
                raise DataError(f"{path} ({name}): the video is in both files; fetch them again")
            rows[name] = _row(name, record, split, checks, where=f"{path} ({name})")
    return fixed_corpus("activitynet", list(rows.values()), files=tuple(files), checks=checks, videos=VIDEOS)


def _row(name: str, record: Any, split: str, checks: Checks, *, where: str) -> CaptionedVideo:
    sentences: list[str] = []
    for position, text in enumerate(reading.field(record, "sentences", list, where=where)):
        sentences += checks.caption(text, where=where, name=f"sentences[{position}]")
    start, end = reading.span(0, record.get("duration"), where=where, names=("start", "duration"))
    origin = youtube(name.removeprefix("v_"), start, end)
    paragraph = (" ".join(sentences),) if sentences else ()
    return CaptionedVideo(id=name, video=name, captions=paragraph, split=split, origin=origin)
