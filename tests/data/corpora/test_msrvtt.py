from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import SMALL, msrvtt_tables, small_ids, write_json

from pseudocap.data.corpora import msrvtt
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.errors import DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msrvtt, "VIDEOS", SMALL)


def write_official(folder: Path) -> Path:
    ids = small_ids()
    write_json(folder / "train_val_videodatainfo.json", msrvtt_tables({"train": ids["train"], "val": ids["val"]}))
    write_json(folder / "test_videodatainfo.json", msrvtt_tables({"test": ids["test"]}))
    return folder


@pytest.mark.usefixtures("small")
def test_the_three_layouts_give_the_same_corpus(tmp_path: Path) -> None:
    official = read_msrvtt(write_official(tmp_path / "official"))
    write_json(tmp_path / "2017" / "videodatainfo_2017.json", msrvtt_tables(small_ids(), val="val"))
    write_json(tmp_path / "clip" / "MSRVTT_data.json", msrvtt_tables(small_ids()))
    others = [read_msrvtt(tmp_path / name) for name in ("2017", "clip")]
    assert {corpus.content_hash for corpus in others} == {official.content_hash}
    assert official.counts["val"] == {"videos": 1, "captions": 20}
    assert [path.name for path in official.files] == ["train_val_videodatainfo.json", "test_videodatainfo.json"]
    row = official.split("test").rows[0]
    assert (row.id, row.video, row.start, row.end) == ("video4", "video4", None, None)
    assert row.origin is not None
    assert (row.origin.start, row.origin.end) == (137.72, 149.44)


@pytest.mark.usefixtures("small")
def test_files_are_taken_by_any_name_and_a_file_of_both_layouts_is_ambiguous(tmp_path: Path) -> None:
    write_official(tmp_path)
    files = [path.rename(path.with_name(f"renamed_{path.name}")) for path in sorted(tmp_path.glob("*.json"))]
    assert len(read_msrvtt(files)) == 6
    write_official(tmp_path)
    write_json(tmp_path / "MSRVTT_data.json", msrvtt_tables(small_ids()))
    with pytest.raises(DataError, match=r"more than once \(train_val_videodatainfo.json and MSRVTT_data.json\)"):
        read_msrvtt(tmp_path)


def test_real_counts_are_demanded_and_a_partial_corpus_says_what_it_lacks(tmp_path: Path) -> None:
    path = write_json(tmp_path / "MSRVTT_data.json", msrvtt_tables(small_ids()))
    with pytest.raises(DataError, match=r"MSRVTT_data.json: 3 videos in train, and there must be 6,513; .*partial"):
        read_msrvtt(path)
    corpus = read_msrvtt(path, allow_partial=True)
    assert [(each.what, each.expected, each.found) for each in corpus.mismatches] == [
        ("videos in train", 6513, 3),
        ("videos in val", 497, 1),
        ("videos in test", 2990, 2),
    ]
    assert corpus.provenance()["mismatches"][0] == {"what": "videos in train", "expected": 6513, "found": 3}


@pytest.mark.usefixtures("small")
def test_a_video_with_another_number_of_captions_is_named(tmp_path: Path) -> None:
    tables = msrvtt_tables(small_ids())
    tables["sentences"] = [row for row in tables["sentences"] if row["sen_id"] not in (5, *range(20, 40))]
    path = write_json(tmp_path / "MSRVTT_data.json", tables)
    with pytest.raises(DataError, match=r"4 videos with 20 captions, and there must be 6 \(video0 has 19\)"):
        read_msrvtt(path)
    corpus = read_msrvtt(path, allow_partial=True)
    assert [row.id for row in corpus.rows] == ["video0", "video2", "video3", "video4", "video5"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("table", "row", "change", "message"),
    [
        ("videos", 1, {"video_id": "video0"}, "the video 'video0' appears twice"),
        ("videos", 1, {"video_id": " "}, r"videos\[1\]: video_id is empty"),
        ("videos", 1, {"split": "training"}, r"videos\[1\] \(video1\): split is 'training' and must be one of train"),
        ("videos", 1, {"end time": 3}, r"videos\[1\] \(video1\): start time is 137.72 and end time is 3; seconds with"),
        ("videos", 1, {"start time": None}, "start time is None and must be a number"),
        ("videos", 1, {"category": "music"}, "category is 'music' and must be a whole number"),
        ("sentences", 7, {"caption": " \t"}, r"sentences\[7\] \(video0\): caption is empty"),
        ("sentences", 7, {"caption": 5}, r"sentences\[7\] \(video0\): caption is 5 and must be a string"),
        ("sentences", 7, {"video_id": "video77"}, r"sentences\[7\] \(video77\): no such video among 'videos'"),
    ],
)
def test_a_wrong_row_is_named_by_table_row_field_and_value(
    tmp_path: Path, table: str, row: int, change: dict[str, object], message: str
) -> None:
    tables = msrvtt_tables(small_ids())
    tables[table][row] |= change
    with pytest.raises(DataError, match=message) as refused:
        read_msrvtt(write_json(tmp_path / "x.json", tables))
    assert str(tmp_path / "x.json") in str(refused.value)


@pytest.mark.usefixtures("small")
def test_a_missing_table_and_a_missing_field_are_named(tmp_path: Path) -> None:
    tables = msrvtt_tables(small_ids())
    with pytest.raises(DataError, match=r"x.json: the field 'sentences' is missing; there are 'videos'"):
        read_msrvtt(write_json(tmp_path / "x.json", {"videos": tables["videos"]}))
    with pytest.raises(DataError, match=r"x.json is \[1\] and must be an object"):
        read_msrvtt(write_json(tmp_path / "x.json", [1]))
    del tables["videos"][2]["split"]
    with pytest.raises(DataError, match=r"videos\[2\] \(video2\): the field 'split' is missing"):
        read_msrvtt(write_json(tmp_path / "x.json", tables))


def test_broken_json_is_told_by_line_and_other_bytes_than_utf8_too(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{\n "videos": [\n  {"id": 1,}\n ]}')
    with pytest.raises(DataError, match=r"x.json, line 3, column \d+: broken JSON"):
        read_msrvtt(path)
    path.write_bytes('{\n"videos": [],\n"sentences": ["caf\u00e9"]}'.encode("latin1"))
    with pytest.raises(DataError, match=r"x.json, line 3: byte 19, 0xe9, is not UTF-8"):
        read_msrvtt(path)


@pytest.mark.usefixtures("small")
def test_a_byte_order_mark_windows_line_ends_and_any_script_are_read(tmp_path: Path) -> None:
    tables = msrvtt_tables(small_ids())
    tables["sentences"][0]["caption"] = "  un caf\u00e9\u2028 \u72ac \U0001f415\r\n"
    path = write_json(tmp_path / "x.json", tables)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"}, {", b"},\r\n{"))
    assert read_msrvtt(path).rows[0].captions[0] == "un caf\u00e9 \u72ac \U0001f415"


def test_a_folder_without_annotations_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no annotations of MSR-VTT; wanted are train_val_videodatainfo.json with"
    ):
        read_msrvtt(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: there is no such file or folder; name the annotations"):
        read_msrvtt(tmp_path / "nowhere")
