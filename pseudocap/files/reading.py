"""Read other people's text, JSON and CSV so that every error names the file and the line; hash a file of any kind.

Everything is UTF-8, a byte order mark and Windows line ends are accepted. Lines end at line feeds only: what
Unicode calls line separators may stand inside a caption.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pseudocap.errors import DataError

T = TypeVar("T")
KINDS: dict[type, str] = {str: "a string", list: "a list", int: "a whole number"}
NOT_UTF8 = "is not UTF-8; write the file again as UTF-8 (iconv -f latin1 -t utf-8 does it for Western European text)"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def raw_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers from 1, line ends left on (a quoted field of a CSV may hold one)."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    found = f"{path}, line {number}: byte {error.start + 1}, 0x{raw[error.start]:02x},"
                    raise DataError(f"{found} {NOT_UTF8}") from error
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, and a file is expected here") from None


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers."""
    for number, line in raw_lines(path):
        if line.strip():
            yield number, line.rstrip("\r\n")


def read_document(path: Path) -> object:
    """Read a JSON file at once."""
    text = "".join(line for _, line in raw_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}, column {error.colno}: broken JSON: {error.msg}") from error
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply to be a file of captions") from error


def records(path: Path, of: str, like: str) -> Iterator[tuple[str, Any]]:
    """Yield the records of a file that is one JSON list, each with where it stands: `of` what, and what they are like,
    for the message about another file."""
    document = read_document(path)
    if not isinstance(document, list):
        raise DataError(f"{path} must hold a list of {of}, [{like}, ..]")
    for position, record in enumerate(document):
        yield f"{path}, row {position}", record


def csv_rows(path: Path, **dialect: Any) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows below the header by column name, each with the number of its last line; quoting is strict.
    `dialect` goes to csv.reader."""
    reader = csv.reader((line for _, line in raw_lines(path)), strict=True, **dialect)
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                if twice := sorted({name for name in header if header.count(name) > 1}):
                    names = ", ".join(map(repr, twice))
                    raise DataError(f"{path}, line {reader.line_num}: the columns {names} appear more than once")
            elif len(cells) != len(header):
                problem = f"{len(cells)} cells under {len(header)} columns; quote a cell that holds a comma"
                raise DataError(f"{path}, line {reader.line_num}: {problem}")
            else:
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: broken CSV: {error}") from error
    if header is None:
        raise DataError(f"{path} is empty; its first line must name the columns")


def field(record: object, name: str, kind: type[T], *, where: str) -> T:
    """Return the field of a record of JSON, of the type it must have."""
    if not isinstance(record, Mapping):
        raise DataError(f"{where} is {_quoted(record)} and must be an object with fields")
    if name not in record:
        raise DataError(f"{where}: the field {name!r} is missing; there are {', '.join(map(repr, record)) or 'none'}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{where}: {name} is {_quoted(value)} and must be {KINDS.get(kind, 'a string or a number')}")
    return value


def number(value: object, name: str, *, where: str) -> float:
    """Return a finite number, written as one or as text (in a CSV)."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{where}: {name} is {_quoted(value)} and must be a number (of seconds)")
    return found


def span(start: object, end: object, *, where: str, names: tuple[str, str] = ("start", "end")) -> tuple[float, float]:
    """Return a stretch of time in seconds, from 0 on, that ends after it starts."""
    first, last = number(start, names[0], where=where), number(end, names[1], where=where)
    if not 0 <= first < last:
        problem = f"{names[0]} is {first:g} and {names[1]} is {last:g}; seconds with 0 <= start < end are wanted"
        raise DataError(f"{where}: {problem}")
    return first, last


def caption(text: object, *, where: str, name: str = "caption") -> str:
    """Return a caption with every run of white space made one space, which no score notices; refuse an empty one."""
    if plain := " ".join(string(text, name, where=where).split()):
        return plain
    raise DataError(f"{where}: {name} is empty; write one or take it out")


def string(value: object, name: str, *, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: {name} is {_quoted(value)} and must be a string")
    return value


def identifier(text: str, name: str, *, where: str) -> str:
    """Return the name of a video, without white space around it; refuse an empty one."""
    if plain := text.strip():
        return plain
    raise DataError(f"{where}: {name} is empty; it must name a video")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
