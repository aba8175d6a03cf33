from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.data.corpora import clotho
from pseudocap.data.corpora.clotho import LAYOUT, read_clotho
from pseudocap.errors import DataError

HEAD = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join((HEAD, *lines)) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clotho, "VIDEOS", {"train": 2, "val": 1, "test": 1})
    write(
        tmp_path / LAYOUT[0],
        "Distorted AM Radio.wav,a,b,c,d,e",
        'Rain hard.wav,"x, y",b,c,d,e',
    )
    write(tmp_path / LAYOUT[1], "v.wav,a,b,c,d,e")
    write(tmp_path / LAYOUT[2], "t.wav,a,b,c,d,e")
    return tmp_path


def test_development_trains_and_evaluation_tests(folder: Path) -> None:
    corpus = read_clotho(folder)
    assert [(row.split, row.id) for row in corpus.rows] == [
        ("train", "Distorted AM Radio.wav"),
        ("train", "Rain hard.wav"),
        ("val", "v.wav"),
        ("test", "t.wav"),
    ]
    assert corpus.rows[1].captions == ("x, y", "b", "c", "d", "e")


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="2 videos in train, and there must be 3,839"):
        read_clotho(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",a,b,c,d,e", "line 2: file_name is empty"),
        ("v.wav,a,b,,d,e", r"line 2 \(v.wav\): caption_3 is empty"),
        ("Rain hard.wav,a,b,c,d,e", "line 2: the sound 'Rain hard.wav' appeared before"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, line: str, message: str) -> None:
    write(folder / LAYOUT[1], line)
    with pytest.raises(DataError, match=message):
        read_clotho(folder)
