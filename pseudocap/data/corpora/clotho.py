"""Read Clotho: sounds of 15 to 30 seconds with five captions each; its development split trains, its evaluation tests.

A file is a .csv of `file_name,caption_1,..,caption_5`. The counts are those of version 2.
"""

from __future__ import annotations

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, fixed_corpus, split_files
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

NAMES = {"development": "train", "validation": "val", "evaluation": "test"}
LAYOUT = tuple(f"clotho_captions_{name}.csv" for name in NAMES)
VIDEOS = {"train": 3_839, "val": 1_045, "test": 1_045}
CAPTIONS_EACH = 5


def read_clotho(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of the official files, or from files whose names hold the official splits'."""
    files = split_files(annotations, LAYOUT, corpus="Clotho", names=NAMES)
    checks = Checks(allow_partial=allow_partial)
    rows: dict[str, CaptionedVideo] = {}
    for path, split in files.items():
        for line, record in reading.csv_rows(path):
            where = f"{path}, line {line}"
            name = reading.identifier(reading.field(record, "file_name", str, where=where), "file_name", where=where)
            if name in rows:
                raise DataError(f"{where}: the sound {name!r} appeared before; keep one of them")
            texts: list[str] = []
            for column in (f"caption_{number}" for number in range(1, CAPTIONS_EACH + 1)):
                texts += checks.caption(record.get(column), where=f"{where} ({name})", name=column)
            rows[name] = CaptionedVideo(id=name, video=name, captions=tuple(texts), split=split)
    return fixed_corpus(
        "clotho", list(rows.values()), files=tuple(files), checks=checks, videos=VIDEOS, captions_each=CAPTIONS_EACH
    )
