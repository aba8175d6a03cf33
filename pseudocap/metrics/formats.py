"""Read and write caption files, in the formats that the field has.

Read are caption rows (pseudocap/rows.py; `.csv` and `.parquet` too) and, recognised by their content, coco-caption's
results `[{"image_id", "caption"}]` and annotations `{"images", "annotations"}`, MSR-VTT's `{"videos", "sentences"}`,
`{id: text}` and `{id: [text, ...]}`; and by their suffix: `.jsonl`, one such row a line, `.txt` and `.tsv`, lines of
id, tab, caption. An id is text: 7 and "7" are one. A row of a stretch has the id `video#start-end`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pseudocap.errors import DataError
from pseudocap.files.atomic import unfinished
from pseudocap.rows import files_of_rows, is_document, parse_record, read_records
from pseudocap.types import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

ID_FIELDS = ("image_id", "video_id", "video", "id")  # the first that a row has; an annotation's own "id" is not it
TEXT_FIELDS = ("caption", "captions", "text", "references")
FORMS = ("coco", "plain", "jsonl")


@dataclass(frozen=True, kw_only=True)
class CaptionFile:
    """Hold every caption of each video, and the file's other facts about the videos (category, split, ...)."""

    captions: dict[str, list[str]]
    facts: dict[str, dict[str, Any]]

    def only(self, *, field: str, value: str, path: object) -> CaptionFile:
        """Select the videos whose field has this value: those of one split, say."""
        kept = [video for video in self.captions if str(self.facts.get(video, {}).get(field)) == value]
        if not kept:
            there = sorted({str(facts[field]) for facts in self.facts.values() if field in facts})
            raise DataError(f"{path}: no video has {field} {value!r}; there are: {', '.join(there) or 'none'}")
        return CaptionFile(captions={video: self.captions[video] for video in kept}, facts=self.facts)


def read_references(path: Path) -> CaptionFile:
    found = CaptionFile(captions={}, facts={})
    for video, texts, facts in _rows(path):
        found.captions.setdefault(video, []).extend(texts)
        found.facts.setdefault(video, {}).update(facts)
    captions = {video: texts for video, texts in found.captions.items() if texts}
    if not captions:
        raise DataError(f"{path} holds no captions")
    return CaptionFile(captions=captions, facts=found.facts)


def read_predictions(path: Path) -> dict[str, str]:
    read = read_references(path).captions
    for video, texts in read.items():
        if len(texts) > 1:
            raise DataError(
                f"{path}: video {video!r} has {len(texts)} captions; a prediction is one caption a video "
                "(are predictions and references the wrong way round?)"
            )
    return {video: texts[0] for video, texts in read.items()}


def match_ids(predictions: Mapping[str, str], references: Iterable[str]) -> dict[str, str]:
    """Return the predictions by the ids that the references have.

    A prediction whose id is none of theirs belongs to the video of its name, whatever the folder and the extension, and
    then whatever the times, where there is one such video and one such prediction.
    """
    known = set(references)
    renamed = {video: video for video in predictions if video in known}
    for timed in (True, False):
        wanted = _by_name(known - set(renamed.values()), timed=timed)
        given = _by_name((video for video in predictions if video not in renamed), timed=timed)
        for name, (video, *more) in given.items():
            if not more and len(ids := wanted.get(name, [])) == 1:
                renamed[video] = ids[0]
    return {renamed.get(video, video): text for video, text in predictions.items()}


def _by_name(ids: Iterable[str], *, timed: bool) -> dict[str, list[str]]:
    """Group ids by the name of their video, without folder and extension, and the times of a stretch."""
    found: dict[str, list[str]] = {}
    for each in ids:
        video, _, times = each.partition("#")
        path = PurePosixPath(video)
        media = path.suffix.lower() in (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS)
        found.setdefault(f"{path.stem if media else path.name}#{times if timed else ''}", []).append(each)
    return found


def read_truth(path: Path) -> dict[str, dict[str, list[Any]]]:
    """Read what each video contains: {id: {"objects": [...], "actions": [...]}}; a thing is a word or its forms."""
    document = _json(path.read_text(encoding="utf-8"), str(path))
    for video, things in document.items() if isinstance(document, dict) else [("the file", document)]:
        lists = list(things.values()) if isinstance(things, dict) else [None]
        if not all(isinstance(kind, list) for kind in lists) or set(things) - {"objects", "actions"}:
            raise DataError(
                f'{path}, {video!r}: it must be {{"objects": [...], "actions": [...]}}, not {_short(things)}'
            )
    return document


def write_predictions(path: Path, predictions: Mapping[str, str], *, form: str = "coco") -> None:
    _write(path, {video: [text] for video, text in predictions.items()}, form=form, single=True)


def write_references(path: Path, references: Mapping[str, Sequence[str]], *, form: str = "coco") -> None:
    _write(path, references, form=form, single=False)


def row_id(video: str) -> str | int:
    """Return the id as coco-caption has it: a number where it can be one."""
    return int(video) if video.isdecimal() and str(int(video)) == video else video


def _write(path: Path, captions: Mapping[str, Sequence[str]], *, form: str, single: bool) -> None:
    if form not in FORMS:
        raise DataError(f"form {form!r} is none of {', '.join(FORMS)}")
    rows = [{"image_id": row_id(video), "caption": text} for video, texts in captions.items() for text in texts]
    document: Any = rows
    if form == "plain":
        document = {video: texts[0] if single else list(texts) for video, texts in captions.items()}
    elif not single:
        numbered = [row | {"id": number} for number, row in enumerate(rows)]
        document = {"images": [{"id": row_id(video)} for video in captions], "annotations": numbered}
    if form == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    with unfinished(path, contested=True) as scratch:
        scratch.write_text(text, encoding="utf-8")


Row = tuple[str, list[str], dict[str, Any]]


def _rows(path: Path) -> Iterator[Row]:
    if path.is_dir():
        if not (files := files_of_rows(path)):
            raise DataError(f"{path} holds no captions in .json or .jsonl files")
        return itertools.chain.from_iterable(map(_rows, files))
    suffix = path.suffix.lower()
    if suffix in (".csv", ".parquet"):
        return _of_rows(read_records(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if suffix == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return _of_rows(((f"{path}, line {number}", _json(line, f"{path}, line {number}")) for number, line in lines))
    if suffix in (".txt", ".tsv"):
        return _of_lines(text, path)
    return _of_document(_json(text, str(path)), path)


def _json(text: str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{where}: {twice!r} appears twice; the earlier one would be lost: rename or remove it")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise DataError(f"{where} is empty; did the run that was to write it end?") from error
        hint = "; if it has one JSON object a line, name it .jsonl" if error.msg == "Extra data" else ""
        raise DataError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}{hint}"
        ) from None


def _of_lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            video, tab, caption = line.partition("\t")
            if not tab:
                raise DataError(f"{path}, line {number}: there is no tab; each line must be id, tab, caption")
            yield video, [caption], {}


def _of_document(document: Any, path: Path) -> Iterator[Row]:
    if isinstance(document, list):
        return _of_rows((f"{path}, row {number}", row) for number, row in enumerate(document))
    if is_document(document):
        return _of_rows([(str(path), document)])
    if not isinstance(document, dict):
        raise DataError(f"{path} must hold a list of rows or an object, not {_short(document)}")
    for videos, captions in (("images", "annotations"), ("videos", "sentences")):
        if isinstance(document.get(captions), list):
            about = document.get(videos) or []
            return _of_rows(
                [(f"{path}, {videos}, row {number}", row) for number, row in enumerate(about)]
                + [(f"{path}, {captions}, row {number}", row) for number, row in enumerate(document[captions])]
            )
    return _of_rows((f"{path}, {video!r}", {"id": video, "caption": captions}) for video, captions in document.items())


def _of_rows(rows: Iterable[tuple[str, Any]]) -> Iterator[Row]:
    for where, row in rows:
        if _is_caption_row(row):
            for each in parse_record(row, where, strict=False):
                known = {"split": each.split, "language": each.language}
                about = {**each.others, **{name: value for name, value in known.items() if value}}
                yield each.id, list(each.captions), about
            continue
        field = next((name for name in ID_FIELDS if isinstance(row, dict) and name in row), None)
        if field is None:
            raise DataError(f"{where} must be an object with one of {', '.join(ID_FIELDS)}, not {_short(row)}")
        caption: Any = next((row[name] for name in TEXT_FIELDS if name in row), [])
        texts = [caption] if isinstance(caption, str) else caption
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{where}: the caption must be text or a list of texts, not {_short(caption)}")
        about = {name: value for name, value in row.items() if name not in (*ID_FIELDS, *TEXT_FIELDS)}
        yield str(row[field]), texts, about


def _is_caption_row(row: Any) -> bool:
    """Return whether a record is one of pseudocap/rows.py; others have the fields of other people's files."""
    if not isinstance(row, dict) or is_document(row):
        return is_document(row)
    captioned = row.keys() & {"caption", "captions", "error"} and not row.keys() & {"image_id", "video_id"}
    return bool(captioned) and isinstance(row.get("video", row.get("image")), str)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
