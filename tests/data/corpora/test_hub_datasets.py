"""Data sets of Hugging Face `datasets` as training data: paths, bytes, several captions, splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.corpora import write_clip

from pseudocap.data import CaptionData
from pseudocap.data.corpora.hub_datasets import read_dataset
from pseudocap.errors import DataError
from pseudocap.types import Preprocess

datasets = pytest.importorskip("datasets")


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    (tmp_path / "more").mkdir()
    paths = [tmp_path / "a.mp4", tmp_path / "more" / "b.mp4"]
    for path in paths:
        write_clip(path)
    return paths


def table(films: list[Any], captions: list[Any], name: str = "caption") -> Any:
    return datasets.Dataset.from_dict({"video": films, name: captions}).cast_column("video", datasets.Video())


def test_a_column_of_videos_is_watched_where_they_lie(films: list[Path]) -> None:
    source = table([str(film) for film in films], ["a dog runs", "a cat sits"])
    data = CaptionData(source, batch_size=2, workers=0, preprocess=Preprocess(size=16, frames=2), val_share=0.0)
    data.setup("fit")
    (batch,) = list(data.train_dataloader())
    assert batch.frames.shape == (2, 2, 3, 16, 16)
    assert sorted(batch.captions) == ["a cat sits", "a dog runs"]


def test_the_corpus_says_nothing_of_where_the_videos_lie(films: list[Path]) -> None:
    corpus, root = read_dataset(table([str(film) for film in films], ["a dog runs", "a cat sits"]))
    assert [row.video for row in corpus.rows] == ["a.mp4", "more/b.mp4"]
    assert root == films[0].parent


def test_bytes_are_kept_once_and_rows_of_a_video_are_its_captions(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    content = films[0].read_bytes()
    source = table([{"bytes": content, "path": None}] * 2, [["a dog runs", "a dog"], ["it runs"]], "captions")
    corpus, root = read_dataset(source)
    (row,) = corpus.rows
    assert row.captions == ("a dog runs", "a dog", "it runs")
    assert (root / row.video).read_bytes() == content
    assert len(list(root.iterdir())) == 1


def test_splits_have_our_names(films: list[Path]) -> None:
    first, second = (table([str(film)], ["a dog"]) for film in films)
    corpus, _ = read_dataset(datasets.DatasetDict({"train": first, "validation": second}))
    assert corpus.splits == ("train", "val")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"video": ["a.mp4"], "words": ["x"]}, "no column caption or captions or text, only video, words"),
        ({"film": ["a.mp4"], "caption": ["x"]}, "one column of videos, and has 0 among film, caption"),
        ({"video": ["s3://bucket/a.mp4"], "caption": ["x"]}, "row 0: s3://bucket/a.mp4 is not on this machine"),
        ({"video": [None], "caption": ["x"]}, "row 0: there is neither a path nor the bytes"),
    ],
)
def test_what_cannot_be_trained_on_is_told(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(datasets.Dataset.from_dict(columns))
