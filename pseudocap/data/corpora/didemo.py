"""Read DiDeMo for paragraph-to-video retrieval: the descriptions of a video's moments, in the order of the file, are
its one caption.

A file is a list of `{"video": "12090392@N02_13482799053_87ef417396.mov", "description": "..", ..}`.
"""

from __future__ import annotations

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

LAYOUT = ("train_data.json", "val_data.json", "test_data.json")
VIDEOS = {"train": 8_395, "val": 1_065, "test": 1_004}


def read_didemo(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the official files, or from files whose names hold train, val or test."""
    files = split_files(annotations, LAYOUT, corpus="DiDeMo")
    checks = Checks(allow_partial=allow_partial)
    moments: dict[tuple[str, str], list[str]] = {}
    for path, split in files.items():
        for where, record in reading.records(path, "moments", "{'video': .., 'description': ..}"):
            name = reading.identifier(reading.field(record, "video", str, where=where), "video", where=where)
            texts = moments.setdefault((split, name), [])
            texts += checks.caption(record.get("description"), where=where, name="description")
    rows = [
        CaptionedVideo(id=name, video=name, captions=(" ".join(texts),) if texts else (), split=split)
        for (split, name), texts in moments.items()
    ]
    return fixed_corpus("didemo", rows, files=tuple(files), checks=checks, videos=VIDEOS)
