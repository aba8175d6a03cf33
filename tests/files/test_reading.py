"""Other people's files: every error names the file and the line, and what is right comes through unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.files import reading


def test_lines_end_at_line_feeds_alone_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffa\u2028b\r\n\n  \nc".encode())
    assert list(reading.lines(path)) == [(1, "a\u2028b"), (4, "c")]


def test_what_is_not_utf8_is_named_by_line_and_byte(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(DataError, match=r"x\.txt, line 2: byte 3, 0xef, is not UTF-8"):
        list(reading.lines(tmp_path / "x.txt"))
    with pytest.raises(DataError, match="is a folder, and a file is expected here"):
        list(reading.lines(tmp_path))


def test_a_quoted_cell_may_hold_commas_and_lines(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('video, caption\na.mp4,"one, two\nthree"\n\nb.mp4,four\n')
    assert list(reading.csv_rows(tmp_path / "x.csv")) == [
        (3, {"video": "a.mp4", "caption": "one, two\nthree"}),
        (5, {"video": "b.mp4", "caption": "four"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line must name the columns"),
        ("a,a\n", r"line 1: the columns 'a' appear more than once"),
        ("a,b\n1\n", r"line 2: 1 cells under 2 columns"),
        ('a\n"x"y\n', r"line 2: broken CSV"),
    ],
)
def test_a_broken_table_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list(reading.csv_rows(tmp_path / "x.csv"))


@pytest.mark.parametrize("value", [True, None, "", "1,5", "nan", float("inf"), [1], 10**400])
def test_what_is_no_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"^row 3: start is .* and must be a number \(of seconds\)$"):
        reading.number(value, "start", where="row 3")
    assert reading.number(" 1.5", "start", where="") == 1.5


@pytest.mark.parametrize("span", [(1, 1), (2, 1), (-1, 2)])
def test_a_stretch_ends_after_it_begins(span: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="0 <= start < end"):
        reading.span(*span, where="row 3")
    assert reading.span("0", 8, where="") == (0.0, 8.0)


def test_a_field_has_its_type_and_a_caption_one_space_between_words() -> None:
    assert reading.caption(" a\tdog\n runs ", where="") == "a dog runs"
    with pytest.raises(DataError, match="the field 'video' is missing; there are 'image'"):
        reading.field({"image": 1}, "video", str, where="row 3")
    with pytest.raises(DataError, match="n is True and must be a whole number"):
        reading.field({"n": True}, "n", int, where="row 3")
    with pytest.raises(DataError, match="caption is empty; write one or take it out"):
        reading.caption(" \n", where="row 3")
