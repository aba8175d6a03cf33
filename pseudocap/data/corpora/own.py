"""Read your own captions: caption rows in a file (docs/rows.md), a folder of videos with text files, or the labels that
a teacher wrote.

A video may have several captions, as a list or on several rows. In a folder every video has a text file of the same
name with one caption a line; a folder of `pseudocap label` has its parquet files, one of `pseudocap caption --format
json` a file of each video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

from pseudocap.data.corpora.base import Checks, Corpus, split_name
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError
from pseudocap.files import reading
from pseudocap.languages import language_facts
from pseudocap.rows import CaptionRow, files_of_rows, parse_record, read_records, stretch_id
from pseudocap.types import CaptionedVideo


def read_own(source: str | PathLike[str], *, split: str = "test", allow_partial: bool = False) -> Corpus:
    """Read your captions; `split` is that of the rows that name none. Rows of errors, empty captions of a captioner and
    labels that a filter objects to are left out and counted."""
    path = Path(source)
    checks = Checks(allow_partial=allow_partial)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; name your captions")
    if (path.is_dir() or path.suffix.lower() == ".parquet") and _holds_labels(path):
        rows = _merged(_labels(path), split, checks)
    elif path.is_dir() and not VideoFolder(path).paths and (documents := files_of_rows(path)):
        rows = _merged((row for each in documents for row in _parsed(each, checks)), split, checks)
    elif path.is_dir():
        rows = _folder(path, split, checks)
    else:
        rows = _merged(_parsed(path, checks), split, checks)
    if not rows:
        raise DataError(f"{path} holds no caption")
    return Corpus(name="own", rows=tuple(rows), files=(path,), mismatches=checks.mismatches)


def _parsed(path: Path, checks: Checks) -> Iterator[CaptionRow]:
    for where, record in read_records(path):
        try:
            yield from parse_record(record, where)
        except DataError as error:
            checks.skip("unusable rows", error)


def _holds_labels(path: Path) -> bool:
    from pseudocap.label.schema import holds_labels  # parquet is for those who may have some

    return holds_labels(path)


def _labels(path: Path) -> Iterator[CaptionRow]:
    from pseudocap.label.schema import read_labels  # parquet is for those who have some

    for label in read_labels(path):
        clip = label.clip
        yield CaptionRow(
            video=clip.source,
            start=clip.start,
            end=clip.end,
            captions=label.captions,
            checkpoint=label.teacher,
            verdicts=label.verdicts,
            language=label.language or "",
            error=label.error,
            where=f"{path} ({clip.source}, {clip.start:g} s)",
        )


def _merged(rows: Iterable[CaptionRow], split: str, checks: Checks) -> list[CaptionedVideo]:
    """Merge rows to one for each stretch of each video, and of captions in several languages for each of these."""
    given = list(rows)
    several = len({row.language or "en" for row in given if row.usable}) > 1
    captions: dict[tuple[str, str, float | None, float | None, str], list[str]] = {}
    for row in given:
        if not row.usable:
            objected = row.verdicts and not row.error
            checks.leave_out("rows that filters object to" if objected else "rows without a caption")
            continue
        try:
            language = language_facts(row.language or "en").code if several else ""
            written = (text for text in row.captions if text.strip() or not row.checkpoint)
            texts = [reading.caption(text, where=row.where) for text in written]
        except ConfigError as error:
            raise DataError(f"{row.where}: language {error}") from error
        except DataError as error:
            checks.skip("unusable rows", error)
            continue
        key = (split_name(row.split or split), row.video, row.start, row.end, language)
        captions.setdefault(key, []).extend(texts)
    return [
        CaptionedVideo(
            id=stretch_id(video, start, end) + (f"@{language}" if language else ""),
            video=video,
            captions=tuple(texts),
            split=of,
            start=start,
            end=end,
            language=language,
        )
        for (of, video, start, end, language), texts in captions.items()
    ]


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
