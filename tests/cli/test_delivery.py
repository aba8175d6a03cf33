"""Where captions go: decided, and refused, before anything is captioned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.cli.delivery import form_of, plan_delivery
from pseudocap.errors import ConfigError
from pseudocap.types import FileCaptions, TimedCaption

ONE, TWO = [("a.mp4", Path("a.mp4"))], [("a.mp4", Path("a.mp4")), ("b.mp4", Path("b.mp4"))]
DOG = (TimedCaption(start=0.0, end=1.0, text="a dog runs"),)


@pytest.mark.parametrize(
    ("form", "out", "expected"),
    [
        (None, None, "text"),
        (None, "x.srt", "srt"),
        (None, "x.JSONL", "jsonl"),
        (None, "x.parquet", "parquet"),
        (None, "folder", "text"),
        ("vtt", "x.srt", "vtt"),
    ],
)
def test_the_name_of_a_file_implies_the_format(form: str | None, out: str | None, expected: str) -> None:
    assert form_of(form, None if out is None else Path(out)) == expected


@pytest.mark.parametrize(
    ("files", "form", "out", "message"),
    [
        (TWO, "srt", None, "--format srt of several files needs --out DIR"),
        (TWO, "json", "x.json", r"is one file, and 2 are captioned; name a folder, or a file that ends in \.jsonl"),
        (ONE, "vtt", "x.srt", "is named as srt is, and --format is vtt"),
        (ONE, "parquet", "folder", "--format parquet writes one table"),
        (TWO, "text", "taken", "is a file; name a folder"),
        ([*ONE, ("sub/a.mkv", Path("sub/a.mkv"))], "text", "folder", r"a\.mp4 and sub/a\.mkv would both be written"),
    ],
)
def test_what_would_not_fit_is_refused_and_leaves_nothing(
    files: list[tuple[str, Path]], form: str, out: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ConfigError, match=message):
        plan_delivery(files, form=form, dense=True, out=None if out is None else tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_rows_of_several_files_name_their_videos_from_the_file_that_they_lie_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    delivery = plan_delivery(TWO, form="jsonl", dense=False, out=Path("out/x.jsonl"), run="r")
    with delivery.kept():
        for number, (name, _) in enumerate(TWO):
            delivery.take(number, name, FileCaptions(file=name, captions=DOG))
    rows = [json.loads(line) for line in Path("out/x.jsonl").read_text().splitlines()]
    assert [row["video"] for row in rows] == ["../a.mp4", "../b.mp4"]
    assert delivery.summary() == "captions of 2 files in out/x.jsonl"


def test_lines_of_several_files_on_the_terminal_begin_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    for files, expected in ((ONE, "a dog runs\n"), (TWO, "a.mp4: a dog runs\nb.mp4: a dog runs\n")):
        delivery = plan_delivery(files, form="text", dense=False, out=None)
        with delivery.kept():
            for number, (name, _) in enumerate(files):
                delivery.take(number, name, FileCaptions(file=name, captions=DOG))
        assert capsys.readouterr().out == expected
        assert delivery.summary() == ""
