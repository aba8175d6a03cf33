"""Read AudioCaps: sounds of ten seconds from YouTube, one caption each to train on, five each to validate and test.

A file is a .csv of `audiocap_id,youtube_id,start_time,caption`. The counts are those of the first release, which
papers report on; of the second (91,256 captions to train on) allow a partial corpus.
"""

from __future__ import annotations

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo, Origin

LAYOUT = ("train.csv", "val.csv", "test.csv")
VIDEOS = {"train": 49_838, "val": 495, "test": 975}
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
    rows = [_row(*key, tuple(texts)) for key, texts in captions.items()]
    return fixed_corpus("audiocaps", rows, files=tuple(files), checks=checks, videos=VIDEOS)


def _row(split: str, name: str, start: float, captions: tuple[str, ...]) -> CaptionedVideo:
    origin = Origin(url=f"https://www.youtube.com/watch?v={name}", start=start, end=start + SECONDS)
    return CaptionedVideo(id=name, video=name, captions=captions, split=split, origin=origin)
