from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import SMALL, msvd_clips

from pseudocap.data.corpora import msvd
from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msvd, "VIDEOS", SMALL)
    monkeypatch.setattr(msvd, "CAPTIONS", {split: 2 * size for split, size in SMALL.items()})


def write_lists(folder: Path, mapping: str = "youtube_mapping.txt") -> Path:
    """Six clips with two captions each."""
    (folder / mapping).write_text("".join(f"{clip} vid{row}\n" for row, clip in enumerate(msvd_clips(6), start=1)))
    first = 1
    for split, size in SMALL.items():
        lines = [f"vid{row}\ta dog runs {k}" for row in range(first, first + size) for k in range(2)]
        (folder / f"sents_{split}_lc_nopunc.txt").write_text("\n".join(lines))
        first += size
    return folder


def test_the_real_lists_are_whole(shared_data: Path) -> None:
    corpus = read_msvd(shared_data / "msvd")
    assert corpus.mismatches == ()
    assert {name: (each["videos"], each["captions"]) for name, each in corpus.counts.items()} == {
        "train": (1200, 48_774),
        "val": (100, 4_290),
        "test": (670, 27_763),
    }
    first = corpus.rows[0]
    assert (first.id, first.captions[1]) == ("-4wsuPCjDBc_5_15", "a chipmunk is eating")
    assert first.origin is not None
    assert (first.origin.url[-11:], first.origin.start, first.origin.end) == ("-4wsuPCjDBc", 5.0, 15.0)


def test_descriptions_without_a_mapping_have_the_same_split_as_the_real_lists(
    shared_data: Path, tmp_path: Path
) -> None:
    lists = read_msvd(shared_data / "msvd")
    path = tmp_path / "AllVideoDescriptions.txt"
    shuffled = sorted(lists.rows, key=lambda row: row.id[::-1])
    lines = [f"{row.id} {text.capitalize()}." for row in shuffled for text in row.captions]
    path.write_text("#MSR Video Description Corpus\n\n" + "\n".join(lines))
    corpus = read_msvd(path)
    assert {split: corpus.split_hash(split) for split in corpus.splits} == {
        split: lists.split_hash(split) for split in lists.splits
    }
    assert sum(each["captions"] for each in corpus.counts.values()) == 80_827
    assert corpus.rows[0].captions[1] == "A chipmunk is eating."


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mapping", ["youtube_mapping.txt", "youtube_video_to_id_mapping.txt"])
def test_either_mapping_file_serves_and_one_is_needed(tmp_path: Path, mapping: str) -> None:
    assert read_msvd(write_lists(tmp_path, mapping)).counts["test"] == {"videos": 2, "captions": 4}
    (tmp_path / mapping).unlink()
    with pytest.raises(DataError, match=r"vid1, vid2, ...; put youtube_mapping.txt or youtube_video_to_id"):
        read_msvd(tmp_path)


@pytest.mark.usefixtures("small")
def test_tabs_marks_and_line_ends_of_windows_stay_out_of_captions(tmp_path: Path) -> None:
    path = write_lists(tmp_path) / "sents_train_lc_nopunc.txt"
    lines = path.read_text().split("\n")
    lines[0] = "vid1\ta dog\truns \u2028 there"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read_msvd(tmp_path).rows[0].captions == ("a dog runs there", "a dog runs 1")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("vid1\t ", r"line 1 \(vid1\): caption is empty"),
        ("vid1 a dog runs", r"line 1: 'vid1 a dog runs' is not in the mapping file"),
        ("vid99\ta dog runs", r"line 1: 'vid99' is not in the mapping file"),
        ("vid6\ta dog runs", r"sents_test_lc_nopunc.txt: vid6 is in the list of train too"),
        ("vid1\ta dog\nvid1\ta cat", r"sents_train_lc_nopunc.txt: 7 captions in train, and there must be 6"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write_lists(tmp_path) / "sents_train_lc_nopunc.txt"
    path.write_text("\n".join([line, *path.read_text().split("\n")[1:]]))
    with pytest.raises(DataError, match=message):
        read_msvd(tmp_path)


@pytest.mark.usefixtures("small")
def test_a_partial_corpus_counts_what_it_left_out(tmp_path: Path) -> None:
    path = write_lists(tmp_path) / "sents_train_lc_nopunc.txt"
    path.write_text("\n".join(["vid1\t", "vid99\ta dog", *path.read_text().split("\n")[2:]]))
    (tmp_path / "sents_test_lc_nopunc.txt").unlink()
    corpus = read_msvd(tmp_path, allow_partial=True)
    assert {(each.what, each.expected, each.found) for each in corpus.mismatches} == {
        ("unusable captions", 0, 1),
        ("captions of unknown videos", 0, 1),
        ("captions in train", 6, 4),
        ("captions in test", 4, 0),
        ("videos in test", 2, 0),
        ("videos with captions", 4, 3),
    }
    assert corpus.counts["train"] == {"videos": 2, "captions": 4}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clip vid1", r"line 1: 'clip vid1' must be <youtube>_<start>_<end> vidN"),
        ("-0000000001_1_6 vid1", r"line 2: -0000000001_1_6 or vid2 appeared before"),
        ("-0000000000_5_5 vid1", "start is 5 and end is 5; seconds with 0 <= start < end"),
    ],
)
def test_a_wrong_mapping_is_named_by_line(tmp_path: Path, line: str, message: str) -> None:
    path = write_lists(tmp_path) / "youtube_mapping.txt"
    path.write_text("\n".join([line, *path.read_text().split("\n")[1:]]))
    with pytest.raises(DataError, match=message):
        read_msvd(tmp_path)


@pytest.mark.usefixtures("small")
def test_fewer_descriptions_need_the_mapping_file(tmp_path: Path) -> None:
    path = tmp_path / "AllVideoDescriptions.txt"
    path.write_text("".join(f"{clip} A dog runs.\n" for clip in msvd_clips(6)[1:]))
    with pytest.raises(DataError, match=r"5 clips; the standard split is by the order of all 6.*youtube_mapping"):
        read_msvd(path, allow_partial=True)
    (tmp_path / "youtube_mapping.txt").write_text("".join(f"{c} vid{k + 1}\n" for k, c in enumerate(msvd_clips(6))))
    with pytest.raises(DataError, match="2 videos in train, and there must be 3"):
        read_msvd(path)
    assert read_msvd(tmp_path, allow_partial=True).counts["test"]["videos"] == 2
