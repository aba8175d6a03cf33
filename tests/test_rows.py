"""Caption rows: every form of a file gives the same rows, and a wrong row is named by file, line and field."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from pseudocap.errors import DataError
from pseudocap.rows import FIELDS, VERSION, CaptionRow, read_rows, row_line

DOCUMENT = {
    "file": "a.mp4",
    "captions": [{"start": 0.0, "end": 8.0, "text": "a dog"}, {"start": 8.0, "end": 9.5, "text": ""}],
}


def saved(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


def test_every_form_of_a_file_gives_the_same_rows(tmp_path: Path) -> None:
    records = [
        {"version": 1, "video": "a.mp4", "start": 0.0, "end": 8.0, "caption": "a dog", "confidence": 0.5, "run": "x"},
        {
            "version": 1,
            "video": "b.mp4",
            "start": None,
            "end": None,
            "caption": "一只猫",
            "confidence": None,
            "run": None,
        },
    ]
    lines = saved(tmp_path / "x.jsonl", *records)
    (tmp_path / "x.json").write_text(json.dumps(records), encoding="utf-8")
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(records[0]))
        table.writeheader()
        table.writerows(records)
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "x.parquet")

    def facts(path: Path) -> list[object]:
        return [(row.id, row.captions, row.start, row.end, row.confidence, row.run) for row in read_rows(path)]

    expected = [("a.mp4#0.000-8.000", ("a dog",), 0.0, 8.0, 0.5, "x"), ("b.mp4", ("一只猫",), None, None, None, "")]
    for suffix in ("jsonl", "json", "csv", "parquet"):
        assert facts(tmp_path / f"x.{suffix}") == expected, suffix
    assert next(read_rows(lines)).where == f"{lines}, line 1 (a.mp4)"


def test_a_line_that_is_written_is_read_again(tmp_path: Path) -> None:
    line = row_line(video="a.mp4", start=0.0, end=2.5, caption="a dog", split="", checkpoint="ours", error=None)
    assert json.loads(line) == {
        "version": VERSION, "video": "a.mp4", "start": 0.0, "end": 2.5, "caption": "a dog", "checkpoint": "ours"
    }  # fmt: skip
    (tmp_path / "x.jsonl").write_text(line)
    (row,) = read_rows(tmp_path / "x.jsonl")
    assert (row.captions, row.start, row.end, row.checkpoint) == (("a dog",), 0.0, 2.5, "ours")


def test_a_document_of_a_file_is_a_row_for_each_caption_and_one_of_its_error(tmp_path: Path) -> None:
    alone = {"file": "b.mp4", "captions": [{"start": 0.0, "end": 3.2, "text": "a cat"}]}
    cut = {**alone, "file": "c.mp4", "error": "c.mp4: truncated"}
    rows = list(read_rows(saved(tmp_path / "x.jsonl", DOCUMENT, alone, cut)))
    assert [(row.id, row.captions, row.error) for row in rows] == [
        ("a.mp4#0.000-8.000", ("a dog",), ""),
        ("a.mp4#8.000-9.500", ("",), ""),
        ("b.mp4", ("a cat",), ""),  # one caption from the beginning is that of the file
        ("c.mp4#0.000-3.200", ("a cat",), ""),
        ("c.mp4", (), "c.mp4: truncated"),
    ]
    assert [row.usable for row in rows] == [True, False, True, True, False]


def test_what_is_learned_from_has_a_caption_that_no_filter_objects_to() -> None:
    assert CaptionRow(video="a", captions=("a dog",)).usable
    assert CaptionRow(video="a", captions=("",)).usable  # a mistake of a person, for the reader to name
    assert not CaptionRow(video="a", captions=(" ",), checkpoint="ours").usable  # a captioner wrote nothing
    assert not CaptionRow(video="a", captions=("a dog",), verdicts=("short",)).usable
    assert not CaptionRow(video="a", error="broken").usable


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"version": 2, "video": "a", "caption": "x"}, r"x.jsonl, line 2: version is 2, and this pseudocap reads rows"),
        ({"video": "a", "caption": "x", "confidence": "high"}, r"line 2 \(a\): confidence is 'high' and must be a num"),
        ({"video": "a", "caption": "x", "checkpoint": 3}, r"line 2 \(a\): checkpoint is 3 and must be a string"),
        ({"video": "a", "caption": "x", "verdicts": [1]}, r"line 2 \(a\): verdicts is 1 and must be a string"),
        ({"video": "a", "caption": "x", "cheekpoint": "y"}, r"unknown field 'cheekpoint' \(did you mean 'checkpoint'"),
        ({"file": "a", "captions": [{"start": 0, "end": 1}]}, r"line 2 \(a\): the field 'text' is missing"),
        ({"file": "a", "captions": [{"start": 3, "end": 1, "text": "x"}]}, r"line 2 \(a\): start is 3 and end is 1"),
        ({"video": "a", "error": ""}, r"line 2 \(a\): the field 'caption' is missing"),
    ],
)
def test_a_wrong_row_is_named_by_its_file_line_and_field(record: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(read_rows(saved(tmp_path / "x.jsonl", {"video": "b", "caption": "y"}, record)))


def test_every_field_is_on_the_page_of_the_rows() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "rows.md").read_text(encoding="utf-8")
    assert [name for name in FIELDS if f"`{name}`" not in page] == []
