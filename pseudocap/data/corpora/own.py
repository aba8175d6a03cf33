"""Read your own captions: JSON Lines, JSON or CSV of `video, caption[, start, end][, split]`, or a folder.

Of pictures the field may be `image` as well. A video may have several captions, as a list or on several rows. In a
folder every video has a text file of the same name with one caption a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

from pseudocap.data.corpora import reading
from pseudocap.data.corpora.base import Checks, Corpus, stretch_id
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, nearest
from pseudocap.types import CaptionedVideo

COLUMNS = ("video", "caption", "start", "end", "split")
PICTURE = "image"  # another name of the first column


def read_own(source: str | PathLike[str], *, split: str = "test", allow_partial: bool = False) -> Corpus:
    """Read your captions; `split` is that of the rows that name none."""
    path = Path(source)
    checks = Checks(allow_partial=allow_partial)
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; name your captions")
    if path.is_dir():
        rows = _folder(path, split, checks)
    elif suffix in (".jsonl", ".json"):
        records = _json_lines(path) if suffix == ".jsonl" else _json(path)
        rows = _merged(records, split, checks)
    elif suffix == ".csv":
        rows = _merged(((f"{path}, line {line}", row) for line, row in reading.csv_rows(path)), split, checks)
    else:
        raise DataError(f"{path}: captions are a .jsonl, .json or .csv file, or a folder of videos with .txt files")
    if not rows:
        raise DataError(f"{path} holds no caption")
    return Corpus(name="own", rows=tuple(rows), files=(path,), mismatches=checks.mismatches)


def _json_lines(path: Path) -> Iterator[tuple[str, object]]:
    for number, line in reading.lines(path):
        try:
            yield f"{path}, line {number}", json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            message = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{path}, line {number}: broken JSON: {message}; each line is one object") from error


def _json(path: Path) -> Iterator[tuple[str, object]]:
    document = reading.read_document(path)
    if not isinstance(document, list):
        raise DataError(f"{path} must hold a list of objects, [{{'video': .., 'caption': ..}}, ..]")
    for position, record in enumerate(document):
        yield f"{path}, row {position}", record


def _merged(records: Iterator[tuple[str, object]], split: str, checks: Checks) -> list[CaptionedVideo]:
    """Merge records to one row for each stretch of each video."""
    captions: dict[tuple[str, str, float | None, float | None], list[str]] = {}
    for where, record in records:
        try:
            row = _row(record, split, where)
        except DataError as error:
            checks.skip("unusable rows", error)
            continue
        captions.setdefault((row.split, row.video, row.start, row.end), []).extend(row.captions)
    return [
        CaptionedVideo(
            id=stretch_id(video, start, end), video=video, captions=tuple(texts), split=of, start=start, end=end
        )
        for (of, video, start, end), texts in captions.items()
    ]


def _row(record: object, split: str, where: str) -> CaptionedVideo:
    if isinstance(record, Mapping) and PICTURE in record and "video" not in record:
        record = {("video" if name == PICTURE else name): value for name, value in record.items()}
    video = reading.identifier(reading.field(record, "video", str, where=where), "video", where=where)
    assert isinstance(record, Mapping), "its field was read"
    for name in record:
        if name not in COLUMNS:
            problem = f"unknown field {name!r}{nearest(str(name), COLUMNS)}; there are {', '.join(COLUMNS)}"
            raise DataError(f"{where} ({video}): {problem}")
    where = f"{where} ({video})"
    given = record.get("caption")
    texts = given if isinstance(given, list) else [reading.field(record, "caption", str, where=where)]
    if not texts:
        raise DataError(f"{where}: caption is an empty list; write a caption or take the row out")
    start, end = (None if record.get(name) in (None, "") else record[name] for name in ("start", "end"))
    first, last = (None, None) if start is None and end is None else reading.span(start, end, where=where)
    return CaptionedVideo(
        id=video,
        video=video,
        captions=tuple(reading.caption(text, where=where) for text in texts),
        split=reading.field(record, "split", str, where=where).strip() or split if "split" in record else split,
        start=first,
        end=last,
    )


def _folder(folder: Path, split: str, checks: Checks) -> list[CaptionedVideo]:
    paths = VideoFolder(folder).paths  # the preferred of two with the same name comes first
    videos = {path.relative_to(folder).with_suffix("").as_posix(): path for path in reversed(paths)}
    texts = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.txt"))}
    if not videos:
        raise DataError(f"{folder} holds no video file; name a folder of videos with .txt files, or a file of captions")
    for name in sorted(videos.keys() - texts.keys()):
        checks.skip("videos without captions", DataError(f"{videos[name]} has no captions; write {name}.txt beside it"))
    rows = []
    for name, path in texts.items():
        if name not in videos:
            checks.skip("captions of unknown videos", DataError(f"{path}: no video of this name is beside it"))
            continue
        captions = tuple(reading.caption(line, where=f"{path}, line {number}") for number, line in reading.lines(path))
        if captions:
            video = videos[name].relative_to(folder).as_posix()
            rows.append(CaptionedVideo(id=name, video=video, captions=captions, split=split))
        else:
            checks.skip("videos without captions", DataError(f"{path} is empty; write one caption a line"))
    return rows
