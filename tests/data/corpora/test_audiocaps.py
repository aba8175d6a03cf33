from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.data.corpora import audiocaps
from pseudocap.data.corpora.audiocaps import read_audiocaps
from pseudocap.errors import DataError

HEAD = "audiocap_id,youtube_id,start_time,caption"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join((HEAD, *lines)) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(audiocaps, "VIDEOS", {"train": 1, "val": 1, "test": 2})
    write(tmp_path / "train.csv", "91139,r1nicOVtvkQ,130,A woman talks nearby as water pours")
    write(tmp_path / "val.csv", *(f"{row},-dogdogdogd,0,A dog barks {row}" for row in range(5)))
    rain = [f"{row},bbbbbbbbbbb,0,Rain {row}" for row in range(5)]
    cats = [f"{row},aaaaaaaaaaa,30,Cat {row}" for row in range(4)]
    write(tmp_path / "test.csv", '9,aaaaaaaaaaa,30,"A cat, then a dog"', *rain, *cats)
    return tmp_path


def test_the_captions_of_a_sound_come_together(folder: Path) -> None:
    corpus = read_audiocaps(folder)
    assert {name: each["captions"] for name, each in corpus.counts.items()} == {"train": 1, "val": 5, "test": 10}
    first = corpus.split("test").rows[0]
    assert (first.id, first.captions) == ("aaaaaaaaaaa", ("A cat, then a dog", "Cat 0", "Cat 1", "Cat 2", "Cat 3"))
    assert first.origin is not None
    assert (first.origin.start, first.origin.end) == (30, 40)


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="1 videos in train, and there must be 49,838"):
        read_audiocaps(folder)


def test_the_second_release_is_known_by_its_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiocaps, "TRAIN_2", 3)
    write(folder / "train.csv", *(f"{row},{row:011d},0,Rain" for row in range(3)))
    assert read_audiocaps(folder).counts["train"]["videos"] == 3
    write(folder / "train.csv", *(f"{row},{row:011d},0,Rain" for row in range(2)))
    with pytest.raises(DataError, match="2 videos in train, and there must be 3"):
        read_audiocaps(folder)


def test_the_captions_of_every_split_are_counted(folder: Path) -> None:
    write(folder / "val.csv", *(f"{row},-dogdogdogd,0,A dog barks {row}" for row in range(4)))
    with pytest.raises(DataError, match=r"0 videos in val with 5 captions, and .* 1 \(-dogdogdogd has 4\)"):
        read_audiocaps(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,,0,Rain", "val.csv, line 2: youtube_id is empty"),
        ("1,aaaaaaaaaaa,soon,Rain", "val.csv, line 2: start_time is 'soon' and must be a number"),
        ("1,aaaaaaaaaaa,0,", "val.csv, line 2: caption is empty"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, line: str, message: str) -> None:
    write(folder / "val.csv", line)
    with pytest.raises(DataError, match=message):
        read_audiocaps(folder)
