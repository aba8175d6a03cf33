"""Write the captions of a file for whoever asked: caption rows, a document, plain text, or subtitles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pseudocap.rows import row_line
from pseudocap.types import IMAGE_EXTENSIONS, FileCaptions
from pseudocap.video.subtitles import clock, to_srt, to_vtt


def caption_records(found: FileCaptions, form: str, *, dense: bool, **by: str) -> list[dict[str, Any]]:
    """Return the records of a file, which `row_line` writes: a document (`json`), or rows; `by` says who wrote them."""
    if form == "json":
        timed = [{"start": each.start, "end": each.end, "text": each.text} for each in found.captions]
        return [{"file": found.file, "captions": timed, "error": found.error, **by}]
    whole = not dense or Path(found.file).suffix.lower() in IMAGE_EXTENSIONS  # one caption, of all of it
    rows: list[dict[str, Any]] = []
    for each in found.captions:
        times = {} if whole and form == "jsonl" else {"start": each.start, "end": each.end}
        rows.append({"video": found.file, **times, "caption": each.text})
    if form == "parquet":
        return rows
    errors = [{"video": found.file, "error": found.error}] if found.error else []
    return [{**row, **by} for row in (*rows, *errors)]


def caption_text(found: FileCaptions, form: str, *, dense: bool, **by: str) -> str:
    """Return the captions of a file as `text`, `json`, `jsonl`, `srt` or `vtt`."""
    if form == "srt":
        return to_srt(found.captions)
    if form == "vtt":
        return to_vtt(found.captions)
    if form in ("json", "jsonl"):
        return "".join(row_line(**record) for record in caption_records(found, form, dense=dense, **by))
    if dense:
        return "".join(f"{clock(each.start)} - {clock(each.end)}  {each.text}\n" for each in found.captions)
    return "".join(f"{each.text}\n" for each in found.captions)
