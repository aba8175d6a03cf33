from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import write_json

from pseudocap.data.corpora import activitynet
from pseudocap.data.corpora.activitynet import read_activitynet
from pseudocap.errors import DataError


def video(*sentences: object) -> dict[str, object]:
    return {"duration": 82.5, "timestamps": [[0, 1]] * len(sentences), "sentences": list(sentences)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(activitynet, "VIDEOS", {"train": 2, "test": 1})
    write_json(tmp_path / "train.json", {"v_a": video("A man runs.", " He  stops. "), "v_b": video("A dog.")})
    write_json(tmp_path / "val_1.json", {"v_QOlSCBRmfWY": video("A woman sings.")})
    write_json(tmp_path / "val_2.json", {"v_QOlSCBRmfWY": video("Somebody sings.")})
    return tmp_path


def test_the_sentences_of_a_video_are_one_paragraph(folder: Path) -> None:
    corpus = read_activitynet(folder)
    assert corpus.counts == {"train": {"videos": 2, "captions": 2}, "test": {"videos": 1, "captions": 1}}
    assert corpus.rows[0].captions == ("A man runs. He stops.",)
    (row,) = corpus.split("test").rows  # val_1 alone
    assert row.captions == ("A woman sings.",)
    assert row.origin is not None
    assert (row.origin.url[-11:], row.origin.end) == ("QOlSCBRmfWY", 82.5)


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="2 videos in train, and there must be 10,009"):
        read_activitynet(folder)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], r"val_1.json must hold an object of videos"),
        ({"v_a": video("x")}, r"val_1.json \(v_a\): the video is in both files"),
        ({"v_c": {"duration": 3}}, r"val_1.json \(v_c\): the field 'sentences' is missing"),
        ({"v_c": video("x", "")}, r"\(v_c\): sentences\[1\] is empty"),
        ({"v_c": {**video("x"), "duration": None}}, r"\(v_c\): duration is None and must be a number"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, document: object, message: str) -> None:
    write_json(folder / "val_1.json", document)
    with pytest.raises(DataError, match=message):
        read_activitynet(folder)
