from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import write_json

from pseudocap.data.corpora import didemo
from pseudocap.data.corpora.didemo import LAYOUT, read_didemo
from pseudocap.errors import DataError


def moment(video: str, text: object) -> dict[str, object]:
    return {"annotation_id": 1, "video": video, "description": text, "times": [[0, 0]]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(didemo, "VIDEOS", {"train": 2, "val": 1, "test": 1})
    moments = [moment("1@N0_a.mov", "a dog runs"), moment("2@N0_b.mp4", "a cat"), moment("1@N0_a.mov", "it jumps")]
    for name, rows in zip(LAYOUT, (moments, [moment("c.avi", "x")], [moment("d.3gp", "y")]), strict=True):
        write_json(tmp_path / name, rows)
    return tmp_path


def test_the_moments_of_a_video_are_one_paragraph(folder: Path) -> None:
    corpus = read_didemo(folder)
    assert [(row.id, row.captions) for row in corpus.split("train").rows] == [
        ("1@N0_a.mov", ("a dog runs it jumps",)),
        ("2@N0_b.mp4", ("a cat",)),
    ]
    assert corpus.splits == ("train", "val", "test")


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="2 videos in train, and there must be 8,395"):
        read_didemo(folder)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "val_data.json must hold a list of moments"),
        ([{"description": "x"}], "val_data.json, row 0: the field 'video' is missing"),
        ([moment("c.avi", "")], "val_data.json, row 0: description is empty"),
        ([moment("c.avi", None)], "val_data.json, row 0: description is None and must be a string"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, document: object, message: str) -> None:
    write_json(folder / LAYOUT[1], document)
    with pytest.raises(DataError, match=message):
        read_didemo(folder)
