"""Read AudioCaps: sounds of ten seconds from YouTube, one caption each to train on, five each to validate and test.

A file is a .csv of `audiocap_id,youtube_id,start_time,caption`. The second release has more sounds to train on; which
one it is follows from their number.
"""

from __future__ import annotations

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files, youtube
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

LAYOUT = ("train.csv", "val.csv", "test.csv")
VIDEOS = {"train": 49_838, "val": 495, "test": 975}
TRAIN_2 = 91_256  # of the second release
CAPTIONS_EACH = {"train": 1, "val": 5, "test": 5}
SECONDS = 10.0


def read_audiocaps(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the official files, or from files whose names hold train, val or test."""
    files = split_files(annotations, LAYOUT, corpus="AudioCaps")
    checks = Checks(allow_partial=allow_partial)
    captions: dict[tuple[str, str, float], list[str]] = {}
    for path, split in files.items():
        for line, row in reading.csv_rows(path):
            where = f"{path}, line {line}"
            name = reading.identifier(reading.field(row, "youtube_id", str, where=where), "youtube_id", where=where)
            start = reading.number(reading.field(row, "start_time", str, where=where), "start_time", where=where)
            texts = captions.setdefault((split, name, start), [])
            texts += checks.caption(row.get("caption"), where=where)
    rows = [
        CaptionedVideo(
            id=name,
            video=name,
            captions=tuple(texts),
            split=split,
            origin=youtube(name, start, start + SECONDS),
        )
        for (split, name, start), texts in captions.items()
    ]
    second = sum(row.split == "train" for row in rows) > VIDEOS["train"]
    videos = VIDEOS | ({"train": TRAIN_2} if second else {})
    return fixed_corpus(
        "audiocaps", rows, files=tuple(files), checks=checks, videos=videos, captions_each=CAPTIONS_EACH
    )
