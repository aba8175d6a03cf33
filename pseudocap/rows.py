"""Read and write caption rows, the one form in which captions travel between verbs.

    {"version": 1, "video": "films/a.mp4", "start": 0.0, "end": 8.0, "caption": "a dog runs"}

A row captions a file, or the stretch of it from `start` to `end`, or says in `error` why there is no caption. JSON
Lines hold one a line; a JSON list, a CSV and a parquet table hold the same fields. docs/rows.md describes them. Rows
without a version are of version 1, and a document of `pseudocap caption --format json` is read as rows too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError, first_line, nearest
from pseudocap.files import reading
from pseudocap.files.atomic import write_text
from pseudocap.types import VIDEO_EXTENSIONS

VERSION = 1
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
TEXTS = ("split", "language", "checkpoint", "run", "parent", "error")
OWN = ("video", "caption", "start", "end", "split")  # of captions that people write
FIELDS = (*OWN, "image", "captions", "confidence", "verdicts", "version", *TEXTS[1:])


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionRow:
    """Caption a video, a picture, or a stretch of a video in seconds; or hold the error that left it without a caption.

    `video` is a path from the folder of the videos, which is that of the rows unless a reader says otherwise. Several
    `captions` are of one stretch, the best first. `where` names the row in messages; `others` are fields of nobody's.
    """

    video: str
    captions: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    split: str = ""
    language: str = ""
    checkpoint: str = ""
    run: str = ""
    parent: str = ""
    error: str = ""
    confidence: float | None = None
    verdicts: tuple[str, ...] = ()
    where: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the name of a video, with the times of a stretch to the millisecond."""
        return stretch_id(self.video, self.start, self.end)

    @property
    def usable(self) -> bool:
        """Return whether it may be learned from: it has a caption, and no filter objects. A captioner may write nothing
        at all; an empty caption of anybody else is a mistake, which is for the reader to refuse."""
        written = not self.checkpoint or any(text.strip() for text in self.captions)
        return bool(self.captions) and written and not self.verdicts

    @property
    def line(self) -> str:
        """Return the row as a line of JSON."""
        captions = {"captions": self.captions} if len(self.captions) > 1 else {"caption": "".join(self.captions)}
        names = ("start", "end", "confidence", "verdicts", *TEXTS)
        own = {name: getattr(self, name) for name in names}
        return row_line(video=self.video, **({} if self.error else captions), **own, **self.others)


def stretch_id(video: str, start: float | None, end: float | None) -> str:
    """Return the id of a stretch of a video, to the millisecond; of the entire video, its name."""
    return video if start is None or end is None else f"{video}#{start:.3f}-{end:.3f}"


def row_line(**fields: object) -> str:
    """Write a row as a line of JSON: the version first, then the fields that have a value; a caption may be empty."""
    present = {name: value for name, value in fields.items() if value not in (None, "", ())}
    if fields.get("caption") == "":
        present["caption"] = ""
    return json.dumps({"version": VERSION, **present}, ensure_ascii=False) + "\n"


def read_rows(path: str | PathLike[str], *, strict: bool = True) -> Iterator[CaptionRow]:
    """Read the rows of a file; DataError names the file, the line and the field of what is wrong. Unless `strict`
    unknown fields are kept as `others`."""
    for where, record in read_records(Path(path)):
        yield from parse_record(record, where, strict=strict)


def files_of_rows(folder: Path) -> list[Path]:
    """List the files that `pseudocap caption --out` wrote into a folder: the .json, else the .jsonl. Where videos are,
    .jsonl is not looked for."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    documents = [path for path in files if path.suffix.lower() == ".json"]
    if documents or any(path.suffix.lower() in VIDEO_EXTENSIONS for path in files):
        return documents
    return [path for path in files if path.suffix.lower() == ".jsonl"]


def write_rows(path: Path, lines: Iterable[str]) -> None:
    """Write lines of `row_line` as one file, all of it or nothing."""
    write_text(path, "".join(lines))


def read_records(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the records of a file as they are written, each with its file and line."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; name your captions")
    if suffix == ".jsonl":
        yield from _json_lines(path)
    elif suffix == ".json":
        document = reading.read_document(path)
        if is_document(document):
            document = [document]
        if not isinstance(document, list):
            raise DataError(f"{path} must hold a list of objects, [{{'video': .., 'caption': ..}}, ..]")
        yield from ((f"{path}, row {position}", record) for position, record in enumerate(document))
    elif suffix == ".csv":
        yield from ((f"{path}, line {line}", row) for line, row in reading.csv_rows(path))
    elif suffix == ".parquet":
        yield from _table(path)
    else:
        raise DataError(
            f"{path}: captions are a .jsonl, .json or .csv file, or a folder of videos with .txt files; also the "
            ".parquet of pseudocap caption and the folder of pseudocap label (docs/rows.md)"
        )


def parse_record(record: object, where: str, *, strict: bool = True) -> list[CaptionRow]:
    """Return the row that a record is; the rows of a document, which captions a file in all its stretches."""
    if is_document(record):
        return _of_document(record, where)
    if isinstance(record, Mapping) and "image" in record and "video" not in record:  # of pictures
        record = {("video" if name == "image" else name): value for name, value in record.items()}
    _check_version(record, where)
    video = reading.identifier(reading.field(record, "video", str, where=where), "video", where=where)
    assert isinstance(record, Mapping), "its field was read"
    named = f"{where} ({video})"
    others = {name: value for name, value in record.items() if name not in FIELDS or name == "image"}
    if strict and others:
        name = next(iter(others))
        known = ", ".join(FIELDS)
        raise DataError(f"{named}: unknown field {name!r}{nearest(str(name), FIELDS)}; there are {known}")
    given = {name: value for name, value in record.items() if value not in (None, "")}
    first, last = (given.get(name) for name in ("start", "end"))
    start, end = (None, None) if first is last is None else reading.span(first, last, where=named)
    texts = {name: reading.field(given, name, str, where=named).strip() for name in TEXTS if name in given}
    return [
        CaptionRow(
            video=video,
            captions=_captions(record, named, error=texts.get("error", ""), strict=strict),
            start=start,
            end=end,
            confidence=reading.number(given["confidence"], "confidence", where=named)
            if "confidence" in given
            else None,
            verdicts=_texts(given["verdicts"], "verdicts", where=named) if "verdicts" in given else (),
            where=named,
            others=others,
            **texts,
        )
    ]


def is_document(record: object) -> bool:
    """Return whether a record is what `pseudocap caption --format json` writes of a file."""
    return isinstance(record, Mapping) and isinstance(record.get("file"), str) and "video" not in record


def _of_document(record: Any, where: str) -> list[CaptionRow]:
    """Return a row for each caption of a file, and one of its error. A file that has one caption alone, from its
    beginning, is captioned as a whole."""
    _check_version(record, where)
    video = reading.identifier(record["file"], "file", where=where)
    named = f"{where} ({video})"
    known = {name: record[name] for name in ("checkpoint", "run") if isinstance(record.get(name), str)}
    found = reading.field(record, "captions", list, where=named) if "captions" in record else []
    rows = []
    whole = len(found) == 1 and not record.get("error")
    for each in found:
        text = reading.field(each, "text", str, where=named)
        start, end = (reading.number(each.get(name), name, where=named) for name in ("start", "end"))
        first, last = (None, None) if whole and start == 0 else reading.span(start, end, where=named)
        row = CaptionRow(video=video, captions=(text,), start=first, end=last, where=named)
        rows.append(replace(row, **{"checkpoint": "unknown", **known}))  # a captioner, which may write nothing at all
    if record.get("error"):
        rows.append(CaptionRow(video=video, error=str(record["error"]), where=named, **known))
    return rows


def _check_version(record: object, where: str) -> None:
    version = record.get("version") if isinstance(record, Mapping) else None
    if version in (None, "") or str(version) == str(VERSION):
        return
    raise DataError(
        f"{where}: version is {version!r}, and this pseudocap reads rows of version {VERSION}; install the one that "
        "wrote them, or leave the field out"
    )


def _captions(record: Mapping[str, Any], where: str, *, error: str, strict: bool) -> tuple[str, ...]:
    name = "captions" if "captions" in record and "caption" not in record else "caption"
    if name not in record and error:
        return ()
    value = record.get(name)
    if isinstance(value, list | tuple):
        if not value and strict and not error:
            raise DataError(f"{where}: {name} is an empty list; write a caption or take the row out")
        return _texts(value, name, where=where)
    if error and value in (None, ""):
        return ()
    return (reading.field(record, name, str, where=where),)


def _texts(value: Any, name: str, *, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: {name} is {value!r:.60} and must be a list of strings")
    return tuple(reading.string(each, name, where=where) for each in value)


def _json_lines(path: Path) -> Iterator[tuple[str, object]]:
    for number, line in reading.lines(path):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            message = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{where}: broken JSON: {message}; each line is one object") from error
        yield where, record


def _table(path: Path) -> Iterator[tuple[str, object]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as a table of captions: {first_line(error)}") from error
    for number, record in enumerate(table.to_pylist()):
        yield f"{path}, row {number}", record
