"""Read VideoCC's own file, a CSV of a video's address, start and end in microseconds, and a caption, one pair a line.

    https://www.youtube.com/watch?v=0WjR6cSMi2A,12000000,22000000,a dog runs on the beach

A first line that names the columns is skipped. Videos are named by YouTube's id, as they are when they are downloaded;
those of other addresses by the last part of the address, without its extension.
"""

from __future__ import annotations

import csv
from os import PathLike
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from pseudocap.data.corpora.base import Checks, Corpus
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.rows import stretch_id
from pseudocap.types import CaptionedVideo

MICROSECONDS = 1_000_000
COLUMNS = ("video_url", "start_us", "end_us", "caption")


def read_videocc(annotations: str | PathLike[str], *, allow_partial: bool = False) -> Corpus:
    """Read the file; the captions of one stretch of a video are one row, all of the split train."""
    path = Path(annotations)
    if path.is_dir():
        path = path / "video_cc_public.csv"
    checks = Checks(allow_partial=allow_partial)
    captions: dict[tuple[str, float, float], list[str]] = {}
    for where, cells in _lines(path):
        try:
            video, start, end, text = _pair(cells, where)
        except DataError as error:
            checks.skip("unusable rows", error)
            continue
        captions.setdefault((video, start, end), []).append(text)
    if not captions:
        raise DataError(f"{path} holds no pair of a clip and a caption ({', '.join(COLUMNS)})")
    rows = tuple(
        CaptionedVideo(
            id=stretch_id(video, start, end), video=video, captions=tuple(texts), split="train", start=start, end=end
        )
        for (video, start, end), texts in captions.items()
    )
    return Corpus(name="videocc", rows=rows, files=(path,), mismatches=checks.mismatches)


def video_of(address: str) -> str:
    """Return the name of a video by its address: YouTube's id, else the last part without its extension."""
    parts = urlsplit(address.strip())
    if (found := parse_qs(parts.query).get("v")) and found[0]:
        return found[0]
    name = PurePosixPath(parts.path).name
    return name if parts.netloc.endswith("youtu.be") else PurePosixPath(name).stem


def _lines(path: Path) -> list[tuple[str, list[str]]]:
    reader = csv.reader((line for _, line in reading.raw_lines(path)), strict=True)
    try:
        lines = [(f"{path}, line {reader.line_num}", cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: broken CSV: {error}") from error
    if lines and len(lines[0][1]) == len(COLUMNS) and not lines[0][1][1].strip().lstrip("-").isdigit():
        del lines[0]  # the names of the columns
    return lines


def _pair(cells: list[str], where: str) -> tuple[str, float, float, str]:
    if len(cells) != len(COLUMNS):
        raise DataError(f"{where}: {len(cells)} cells, and wanted are {', '.join(COLUMNS)}; quote a caption's comma")
    video = reading.identifier(video_of(cells[0]), "video_url", where=where)
    start, end = reading.span(cells[1], cells[2], where=where, names=("start_us", "end_us"))
    return video, start / MICROSECONDS, end / MICROSECONDS, reading.caption(cells[3], where=where)
