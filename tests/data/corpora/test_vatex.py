from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import SMALL, write_json

from pseudocap.data.corpora import vatex
from pseudocap.data.corpora.vatex import CHINESE, LAYOUT, read_vatex, read_vatex_zh
from pseudocap.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six clips in the three official files; their Chinese captions are there too."""
    monkeypatch.setattr(vatex, "VIDEOS", SMALL)
    for name, (split, size) in zip(LAYOUT, SMALL.items(), strict=True):
        write_json(tmp_path / name, [clip(f"{split}_{k}") for k in range(size)])
    return tmp_path


def clip(name: str, *, times: str = "000122_000132") -> dict[str, object]:
    english = [f"A dog, {k}, runs." for k in range(10)]
    return {"videoID": f"{name:x>11}_{times}", "enCap": english, "chCap": ["一只狗在跑"] * 10}


def test_the_official_files_are_read_with_english_only(folder: Path) -> None:
    corpus = read_vatex(folder)
    assert corpus.counts["test"] == {"videos": 2, "captions": 20}
    row = corpus.rows[0]
    assert row.id == "xxxxtrain_0_000122_000132"
    assert row.captions[3] == "A dog, 3, runs."
    assert row.origin is not None
    assert (row.origin.url[-11:], row.origin.start, row.origin.end) == ("xxxxtrain_0", 122.0, 132.0)


def test_the_chinese_captions_are_a_corpus_of_their_own(folder: Path) -> None:
    (folder / LAYOUT[2]).unlink()
    with pytest.raises(DataError, match="0 videos in test, and there must be 2"):
        read_vatex_zh(folder)
    rows = [{key: value for key, value in clip(f"test_{k}").items() if key != "enCap"} for k in range(SMALL["test"])]
    write_json(folder / CHINESE[2], rows)
    corpus = read_vatex_zh(folder)
    assert corpus.name == "vatex-zh"
    assert corpus.counts["test"] == {"videos": 2, "captions": 20}
    assert corpus.rows[0].captions == ("一只狗在跑",) * 10


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="3 videos in train, and there must be 25,991"):
        read_vatex(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enCap": ["a dog runs"] * 9}, r"5 videos with 10 captions, and .* 6 \(xxxxtrain_1_000122_000132 has 9\)"),
        ({"enCap": ["a dog runs"] * 9 + [""]}, r"row 1 \(xxxxtrain_1_000122_000132\): enCap\[9\] is empty"),
        ({"enCap": "a dog runs"}, "enCap is 'a dog runs' and must be a list"),
        (clip("train_0"), "row 1: the video 'xxxxtrain_0_000122_000132' appeared before"),
        (clip("train_1", times="000132_000122"), "start is 132 and end is 122; seconds with 0 <= start < end"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, change: dict[str, object], message: str) -> None:
    rows = [clip(f"train_{k}") for k in range(3)]
    rows[1] |= change
    write_json(folder / LAYOUT[0], rows)
    with pytest.raises(DataError, match=message):
        read_vatex(folder)


def test_the_split_is_in_the_name_and_captions_must_be_there(folder: Path) -> None:
    mine = write_json(folder / "mine.json", [clip("train_0")])
    with pytest.raises(DataError, match=r"mine.json: its name must say which split it is: one of train, val, test"):
        read_vatex([mine])
    private = write_json(folder / "vatex_private_test_without_annotations.json", [{"videoID": "x"}])
    with pytest.raises(DataError, match=r"row 0 \(x\): the field 'enCap' is missing"):
        read_vatex([private])
    with pytest.raises(DataError, match="must hold a list of videos"):
        read_vatex([write_json(folder / "test.json", {"videos": []})])
