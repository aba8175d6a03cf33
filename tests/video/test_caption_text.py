"""What is written of a file in each format."""

from __future__ import annotations

import json

import pytest

from pseudocap.rows import CaptionRow, parse_record
from pseudocap.types import FileCaptions, TimedCaption
from pseudocap.video.caption_text import caption_records, caption_text

TWO = FileCaptions(
    file="a.mp4",
    captions=(TimedCaption(start=0.0, end=8.0, text="a dog runs"), TimedCaption(start=8.0, end=9.5, text="it rests")),
    error="a.mp4: truncated",
)


def read_back(found: FileCaptions, form: str, *, dense: bool) -> list[CaptionRow]:
    lines = caption_text(found, form, dense=dense, checkpoint="toy").splitlines()
    return [row for line in lines for row in parse_record(json.loads(line), "here")]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_captions_and_error_of_clips_come_back_as_rows(form: str) -> None:
    rows = read_back(TWO, form, dense=True)
    assert [(row.captions, row.start, row.end, row.error) for row in rows] == [
        (("a dog runs",), 0.0, 8.0, ""),
        (("it rests",), 8.0, 9.5, ""),
        ((), None, None, "a.mp4: truncated"),
    ]
    assert {(row.video, row.checkpoint) for row in rows} == {("a.mp4", "toy")}


@pytest.mark.parametrize(("file", "dense"), [("a.mp4", False), ("a.PNG", True)])
def test_the_one_caption_of_a_film_or_a_picture_has_no_times(file: str, dense: bool) -> None:
    one = FileCaptions(file=file, captions=(TimedCaption(start=0.0, end=3.0, text="a dog"),))
    (row,) = read_back(one, "jsonl", dense=dense)
    assert (row.start, row.end) == (None, None)
    assert caption_records(one, "parquet", dense=dense) == [
        {"video": file, "start": 0.0, "end": 3.0, "caption": "a dog"}  # a table's columns are the same for all
    ]


def test_text_has_a_line_for_each_caption_and_its_times_where_there_are_several() -> None:
    assert caption_text(TWO, "text", dense=False) == "a dog runs\nit rests\n"
    assert caption_text(TWO, "text", dense=True) == "0:00.0 - 0:08.0  a dog runs\n0:08.0 - 0:09.5  it rests\n"
    assert caption_text(TWO, "srt", dense=True).startswith("1\n00:00:00,000 --> 00:00:08,000\na dog runs\n")
    assert caption_text(TWO, "vtt", dense=True).startswith("WEBVTT\n\n00:00:00.000 --> ")
