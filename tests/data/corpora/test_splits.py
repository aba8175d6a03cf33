from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import msrvtt_tables, write_json

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.data.corpora.splits import read_list, refuse_leak, refuse_trained_on, resplit
from pseudocap.errors import DataError
from pseudocap.types import CaptionedVideo, Origin


@pytest.fixture
def corpus() -> Corpus:
    rows = [("a", "train"), ("b", "train"), ("c", "val"), ("d", "test"), ("e", "test")]
    videos = (CaptionedVideo(id=name, video=name, captions=("x",), split=split) for name, split in rows)
    return Corpus(name="letters", rows=tuple(videos), files=())


def write_list(path: Path, *names: str) -> Path:
    path.write_text("\n".join(names))
    return path


@pytest.fixture(scope="module")
def msrvtt(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Corpus, Path]:
    """All of MSR-VTT's real ids under captions of our own, and the folder of the real lists."""
    lists = request.getfixturevalue("shared_data") / "msrvtt"
    ids = {split: read_list(lists / f"{split}_list_full.txt") for split in ("train", "val", "test")}
    path = tmp_path_factory.mktemp("msrvtt") / "MSRVTT_data.json"
    return read_msrvtt(write_json(path, msrvtt_tables(ids))), lists


def test_the_real_counts_of_msrvtt_hold(msrvtt: tuple[Corpus, Path]) -> None:
    corpus, _ = msrvtt
    assert corpus.mismatches == ()
    assert {name: (each["videos"], each["captions"]) for name, each in corpus.counts.items()} == {
        "train": (6513, 130_260),
        "val": (497, 9_940),
        "test": (2990, 59_800),
    }


def test_the_retrieval_list_with_the_captioning_test_split_is_refused_by_number(msrvtt: tuple[Corpus, Path]) -> None:
    corpus, lists = msrvtt
    training = {"train": lists / "train_list_jsfusion.txt", "val": None}
    reason = r"\(train_list_jsfusion.txt\) holds 1,990 of the 2,990 videos of test \(the annotations\).*memory.*1k-A"
    with pytest.raises(DataError, match=reason):
        resplit(corpus, training)
    forced = resplit(corpus, training, allow_leak=True)
    (leak,) = forced.provenance()["mismatches"]
    assert leak == {"what": "videos of test that are trained on", "expected": 0, "found": 1990}
    assert forced.split_hash("test") == corpus.split_hash("test")


def test_the_whole_retrieval_split_is_fine_and_shows_in_the_hashes(msrvtt: tuple[Corpus, Path]) -> None:
    corpus, lists = msrvtt
    retrieval = {"train": lists / "train_list_jsfusion.txt", "test": lists / "val_list_jsfusion.txt", "val": None}
    other = resplit(corpus, retrieval)
    assert (other.counts["train"]["videos"], other.counts["test"]["videos"]) == (9000, 1000)
    assert other.splits == ("train", "test")
    assert other.split_hash("test") != corpus.split_hash("test")
    assert other.content_hash != corpus.content_hash
    with pytest.raises(DataError, match=r"holds 497 of the 497 videos of val .*--split val=none"):
        resplit(corpus, {name: path for name, path in retrieval.items() if path is not None})


def test_the_captioning_lists_change_nothing(msrvtt: tuple[Corpus, Path]) -> None:
    corpus, lists = msrvtt
    same = resplit(corpus, {split: lists / f"{split}_list_full.txt" for split in ("train", "val", "test")})
    assert same.content_hash == corpus.content_hash


def test_two_corpora_are_guarded_too(corpus: Corpus) -> None:
    assert refuse_leak(corpus.split("train"), corpus.split("test")) == ()
    with pytest.raises(DataError, match="holds 2 of the 2 videos of train"):
        refuse_leak(corpus.split("train"), corpus.split("train"))


def test_a_list_may_be_a_csv_with_other_columns(tmp_path: Path, corpus: Corpus) -> None:
    path = write_list(tmp_path / "test.csv", "\ufeffkey,video_id,sentence", 'r0,d,"a dog, barking"', "r1,e,x")
    assert read_list(path) == ["d", "e"]
    assert len(resplit(corpus, {"test": path}).split("test")) == 2
    with pytest.raises(DataError, match=r"line 2: the field 'video_id' is missing; there are 'key'"):
        read_list(write_list(path, "key", "d"))


def test_wrong_lists_are_named_by_line(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(DataError, match=r"list.txt, line 3: 'a' appears twice"):
        read_list(write_list(path, "a", "b", "a"))
    with pytest.raises(DataError, match=r"list.txt lists no video"):
        read_list(write_list(path, " ", ""))
    with pytest.raises(DataError, match=r"2 of its 3 videos are not in letters, 'y' first"):
        resplit(corpus, {"train": write_list(path, "a", "y", "z")})
    with pytest.raises(DataError, match=r"'tran' is none of train, val, test \(did you mean 'train'\?\)"):
        resplit(corpus, {"tran": path})
    with pytest.raises(DataError, match=r"letters has no split 'mine'; it has train, val, test"):
        corpus.split("mine")


def test_what_was_trained_on_is_known_by_its_file_and_by_its_seconds_on_youtube() -> None:
    def corpus(name: str, *videos: tuple[str, str, float, float]) -> Corpus:
        rows = [
            CaptionedVideo(id=video, video=video, captions=("x",), split="s", origin=Origin(url=url, start=a, end=b))
            for video, url, a, b in videos
        ]
        return Corpus(name=name, rows=tuple(rows), files=())

    page, short = "https://www.youtube.com/watch?v=abcdefghijk", "http://youtu.be/abcdefghijk"
    trained = corpus("mine", ("films/a.mp4", "here", 0, 1), ("b", page, 10, 20))
    test = corpus(
        "other",
        ("a.webm", "there", 0, 1),
        ("abcdefghijk_15_25", short, 15, 25),
        ("c", page, 20, 30),
        ("d", "here", 2, 3),
    )
    (leak,) = refuse_trained_on(trained, test, allow_leak=True)
    assert (leak.what, leak.found) == ("videos of s that mine has trained on", 2)
    with pytest.raises(
        DataError, match=r"2 of the 4 videos of other s were trained on in mine s \(a.webm first\).*force"
    ):
        refuse_trained_on(trained, test)
    assert refuse_trained_on(corpus("mine-2", ("b", page, 10, 20)), corpus("mine-1", ("c", page, 15, 25))) == ()
