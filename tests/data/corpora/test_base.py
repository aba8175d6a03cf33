from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pseudocap.data.corpora.base import Corpus
from pseudocap.types import CaptionedVideo, Origin

ROWS = (
    CaptionedVideo(id="a", video="a", captions=("one", "two"), split="train"),
    CaptionedVideo(id="b", video="b", captions=("three",), split="test", start=1.0, end=2.0),
)


def corpus_of(*rows: CaptionedVideo) -> Corpus:
    return Corpus(name="letters", rows=rows, files=(Path("/somewhere/letters.csv"),))


CHANGES: list[dict[str, object]] = [
    {"id": "c"},
    {"video": "c"},
    {"captions": ("one", "2")},
    {"captions": ("one",)},
    {"split": "val"},
    {"start": 0.0, "end": 1.0},
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_learned_from_changes_the_content_hash(change: dict[str, object]) -> None:
    assert corpus_of(replace(ROWS[0], **change), ROWS[1]).content_hash != corpus_of(*ROWS).content_hash


def test_order_and_where_a_clip_was_cut_from_do_not(tmp_path: Path) -> None:
    first = replace(ROWS[0], captions=("two", "one"), category=3, origin=Origin(url="x", start=0, end=1))
    other = replace(corpus_of(ROWS[1], first), files=(tmp_path / "other.csv",))
    assert other.content_hash == corpus_of(*ROWS).content_hash


def test_a_splits_hash_is_that_of_its_ids_alone() -> None:
    corpus = corpus_of(*ROWS)
    assert corpus_of(replace(ROWS[0], captions=("x",))).split_hash("train") == corpus.split_hash("train")
    assert corpus_of(replace(ROWS[0], id="c")).split_hash("train") != corpus.split_hash("train")
    assert corpus.split("test").split_hash("test") == corpus.split_hash("test")


def test_provenance_is_json_and_names_no_folder_of_this_machine() -> None:
    document = json.dumps(corpus_of(*ROWS).provenance())
    assert "letters.csv" in document
    assert "somewhere" not in document
