"""The 1k-A split of MSR-VTT by its real lists: counts, hashes, captions, and what it shares with captioning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.corpora import msrvtt_tables, write_json

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.data.corpora.msrvtt_1ka import LISTS, WITH_CAPTIONS, read_msrvtt_1ka
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.data.corpora.splits import read_list, refuse_trained_on
from pseudocap.errors import DataError

HASHES = {
    "9k": "12e456ceab25905ffc585c4dfdf1d2972f563b63c317effdee7943bc84075ace",
    "7k": "e63825a66cb7194c0502b86c4178dc1dc4b0e84bd47337b563d9f4cd58890596",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """All of MSR-VTT's real ids under captions of our own, with the real list of the test videos beside them."""
    lists = request.getfixturevalue("shared_data") / "msrvtt"
    ids = {split: read_list(lists / f"{split}_list_full.txt") for split in ("train", "val", "test")}
    place = tmp_path_factory.mktemp("msrvtt")
    write_json(place / "MSRVTT_data.json", msrvtt_tables(ids))
    shutil.copy(lists / LISTS[1], place)
    return place


@pytest.fixture(scope="module")
def nine(folder: Path) -> Corpus:
    return read_msrvtt_1ka(folder)


@pytest.mark.slow
def test_the_published_lists_are_those_that_are_derived(folder: Path, nine: Corpus, shared_data: Path) -> None:
    seven = NamedCorpus.of(f"msrvtt-1ka-7k:{folder}").read(split="test")
    assert {row.id for row in nine.split("train").rows} == set(
        read_list(shared_data / "msrvtt/train_list_jsfusion.txt")
    )
    assert (nine.split_hash("train"), seven.split_hash("train")) == (HASHES["9k"], HASHES["7k"])
    assert (nine.name, seven.name) == ("msrvtt-1ka-9k", "msrvtt-1ka-7k")
    assert nine.counts["test"] == seven.counts["test"] == {"videos": 1_000, "captions": 20_000}


@pytest.mark.slow
def test_the_list_with_captions_names_the_query_of_each_video(folder: Path, tmp_path: Path) -> None:
    names = read_list(folder / LISTS[1])
    shutil.copy(folder / "MSRVTT_data.json", tmp_path)
    lines = (f"ret{row},msr{name[5:]},{name},query of {name}" for row, name in enumerate(names))
    (tmp_path / WITH_CAPTIONS).write_text("\n".join(("key,vid_key,video_id,sentence", *lines)))
    corpus = read_msrvtt_1ka(tmp_path)
    assert corpus.counts["test"] == {"videos": 1_000, "captions": 1_000}
    assert corpus.split("test").rows[7].captions == (f"query of {names[7]}",)
    assert {len(row.captions) for row in corpus.split("train").rows} == {20}


def test_another_list_is_refused_or_reported(tmp_path: Path) -> None:
    write_json(tmp_path / "MSRVTT_data.json", msrvtt_tables({"train": ["video0", "video1"], "test": ["video2"]}))
    with pytest.raises(
        DataError, match=r"must hold MSR-VTT's annotations and the 1k-A list, MSRVTT_JSFUSION_test.csv or"
    ):
        read_msrvtt_1ka(tmp_path)
    (tmp_path / LISTS[1]).write_text("video1")
    with pytest.raises(DataError, match="0 test lists with the ids of 1k-A, and there must be 1"):
        read_msrvtt_1ka(tmp_path)
    found = read_msrvtt_1ka(tmp_path, allow_partial=True)
    assert [(row.id, row.split) for row in found.rows] == [("video0", "train"), ("video2", "train"), ("video1", "test")]
    assert "test lists with the ids of 1k-A" in {each.what for each in found.mismatches}
    (tmp_path / LISTS[1]).write_text("video0\nvideo99999")
    with pytest.raises(DataError, match="'video99999' is not in MSR-VTT"):
        read_msrvtt_1ka(tmp_path, allow_partial=True)


@pytest.mark.slow
def test_the_guard_of_captioning_applies_the_other_way(folder: Path, nine: Corpus) -> None:
    captioning, searched = read_msrvtt(folder), nine.split("test")
    assert refuse_trained_on(captioning.split("train"), searched) == ()
    with pytest.raises(DataError, match=r"1,000 of the 1,000 videos of msrvtt-1ka-9k test were trained on in msrvtt"):
        refuse_trained_on(captioning, searched)
    with pytest.raises(DataError, match=r"1,990 of the 2,990 videos of msrvtt test were trained on in msrvtt-1ka-9k"):
        refuse_trained_on(nine.split("train"), captioning.split("test"))
    (leak,) = refuse_trained_on(captioning.split("test"), searched, allow_leak=True)
    assert (leak.expected, leak.found) == (0, 1_000)
