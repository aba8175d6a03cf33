from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pseudocap.data.corpora.howto100m import read_howto100m
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import DataError
from pseudocap.label.schema import shard_path, write_labels
from pseudocap.rows import row_line
from pseudocap.types import Clip, Pseudolabel


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(path: Path) -> list[tuple[object, ...]]:
    return [(row.id, row.video, row.captions, row.start, row.end, row.split) for row in read_own(path).rows]


def test_json_lines_json_and_csv_say_the_same(tmp_path: Path) -> None:
    records = [
        {"video": "a.mp4", "caption": ["a dog runs", "a dog, running"]},
        {"video": "b", "caption": 'she says "stop"', "start": 1, "end": 2.5},
        {"video": "b", "caption": "a cat", "start": 2.5, "end": 4},
        {"video": "b", "caption": "一只猫", "start": 2.5, "end": 4},
    ]
    lines = write(tmp_path / "x.jsonl", "\n".join(json.dumps(record) for record in records))
    complete = write(tmp_path / "x.json", json.dumps(records))
    table = write(
        tmp_path / "x.csv",
        b"\xef\xbb\xbfvideo,caption,start,end\r\na.mp4,a dog runs,,\r\n"
        b'a.mp4,"a dog, running",,\r\n\r\nb,"she says ""stop""",1,2.5\r\n'
        + 'b,"a\ncat",2.5,4\r\nb,一只猫,2.5,4\r\n'.encode(),
    )
    expected = [
        ("a.mp4", "a.mp4", ("a dog runs", "a dog, running"), None, None, "test"),
        ("b#1.000-2.500", "b", ('she says "stop"',), 1.0, 2.5, "test"),
        ("b#2.500-4.000", "b", ("a cat", "一只猫"), 2.5, 4.0, "test"),
    ]
    assert rows_of(lines) == rows_of(complete) == rows_of(table) == expected
    assert read_own(lines).content_hash == read_own(table).content_hash


def test_a_picture_may_be_called_an_image(tmp_path: Path) -> None:
    (row,) = rows_of(write(tmp_path / "a.jsonl", json.dumps({"image": "a.jpg", "caption": ["a dog"], "split": "val"})))
    assert row == ("a.jpg", "a.jpg", ("a dog",), None, None, "val")
    both = write(tmp_path / "b.jsonl", json.dumps({"image": "a.jpg", "video": "a.mp4", "caption": "a dog"}))
    with pytest.raises(DataError, match="unknown field 'image'"):
        read_own(both)


def test_rows_may_name_their_split(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "video,caption,split\na,one,train\nb,two,\n")
    assert read_own(path, split="val").splits == ("train", "val")


@pytest.mark.parametrize("name", ["val", "dev", "valid", "validate", "Validation", "DEV"])
def test_a_split_to_validate_on_has_many_names_and_is_one(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", f"video,caption,split\na,one,train\nb,two,{name}\nc,three,mine\nb,four,val\n")
    corpus = read_own(path, split=name)
    assert corpus.splits == ("train", "val", "mine")
    assert [row.captions for row in corpus.split(name).rows] == [("two", "four")]


def test_a_folder_of_videos_with_text_files(tmp_path: Path) -> None:
    for name in ("b.mp4", "b.webm", "in/a.MKV"):
        write(tmp_path / name, b"x")
    write(tmp_path / "b.txt", "\ufeffa dog\truns\r\n\r\nit barks\r\n")
    write(tmp_path / "in" / "a.txt", "a cat")
    assert rows_of(tmp_path) == [
        ("b", "b.mp4", ("a dog runs", "it barks"), None, None, "test"),
        ("in/a", "in/a.MKV", ("a cat",), None, None, "test"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.mp4", "x", r"b.mp4 has no captions; write b.txt beside it"),
        ("b.txt", "a dog", r"b.txt: no video of this name is beside it"),
        ("a.txt", " \n", r"a.txt is empty; write one caption a line"),
        ("a.txt", b"caf\xe9", r"a.txt, line 1: byte 4, 0xe9, is not UTF-8"),
    ],
)
def test_a_folder_with_a_hole_is_refused_by_file(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    write(tmp_path / "a.mp4", b"x")
    write(tmp_path / "a.txt", "a dog")
    write(tmp_path / name, text)
    with pytest.raises(DataError, match=message):
        read_own(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"video": "b"', r"line 2: broken JSON: column 14: Expecting"),
        ('{"video": "b"}', r"line 2 \(b\): the field 'caption' is missing; there are 'video'"),
        ('{"caption": "b"}', "line 2: the field 'video' is missing"),
        ('{"video": "", "caption": "b"}', "line 2: video is empty"),
        ('{"video": "b", "caption": " "}', r"line 2 \(b\): caption is empty"),
        ('{"video": "b", "caption": []}', r"line 2 \(b\): caption is an empty list"),
        ('{"video": "b", "caption": ["x", 3]}', "caption is 3 and must be a string"),
        ('{"video": "b", "caption": null}', "caption is None and must be a string"),
        ('{"video": "b", "caption": "x", "strat": 1}', r"unknown field 'strat' \(did you mean 'start'\?\)"),
        (
            '{"video": "b", "caption": "x", "start": 4, "end": 1}',
            "start is 4 and end is 1; seconds with 0 <= start < e",
        ),
        ('{"video": "b", "caption": "x", "start": 4}', "end is None and must be a number"),
        ('{"video": "b", "caption": "x", "start": true, "end": 4}', "start is True and must be a number"),
        ('{"video": "b", "caption": "x", "split": 3}', "split is 3 and must be a string"),
        ("[1]", r"line 2 is \[1\] and must be an object"),
    ],
)
def test_a_wrong_line_of_json_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "x.jsonl", f'{{"video": "a", "caption": "x"}}\n{line}\n')
    with pytest.raises(DataError, match=message):
        read_own(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,caption\na,x\nb,one, two\n", "line 3: 3 cells under 2 columns; quote a cell that holds a comma"),
        ('video,caption\na,"x\n', r"broken CSV: unexpected end of data"),
        ('video,caption\na,"x"y\n', r"line 2: broken CSV: "),
        ("video,caption,video\n", "line 1: the columns 'video' appear more than once"),
        ("video;caption\na;x\n", "line 2: the field 'video' is missing; there are 'video;caption'"),
        ("video,caption,start,end\na,x,one,2\n", r"line 2 \(a\): start is 'one' and must be a number"),
        ("video,caption\n", "holds no caption"),
        ("", "is empty; its first line must name the columns"),
    ],
)
def test_a_wrong_line_of_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_own(write(tmp_path / "x.csv", text))


def test_broken_rows_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "video,caption\na,x\nb,\nc,\n")
    with pytest.raises(DataError, match=r"line 3 \(b\): caption is empty.*--allow-partial"):
        read_own(path)
    (left_out,) = read_own(path, allow_partial=True).mismatches
    assert (left_out.what, left_out.found) == ("unusable rows", 2)


def test_other_files_say_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv: there is no such file or folder; name your captions"):
        read_own(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"captions are a .jsonl, .json or .csv file, or a folder"):
        read_own(write(tmp_path / "x.xlsx", "x"))
    with pytest.raises(DataError, match="holds no video file"):
        read_own(tmp_path)


def test_the_samples_of_the_page_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text()
    (sample,) = re.findall(r"```text\n(\{\"video\".*?)```", page, flags=re.DOTALL)
    corpus = read_own(write(tmp_path / "x.jsonl", sample))
    assert [row.id for row in corpus.rows] == ["dog.mp4", "film#12.500-20.000", "film#20.000-24.000"]
    spoken, *table = re.search(r"```text\n(\{.*?\"text\".*?)```", page, flags=re.DOTALL)[1].splitlines()
    complete = read_howto100m(write(tmp_path / "caption.json", spoken))
    assert complete.rows[0].captions == ("hi guys today we sew",)
    table[0] = table[0].split("   ")[0]
    part = read_howto100m(write(tmp_path / "nVbIUDjzWY4.csv", "\n".join(table)))
    assert part.rows[0].video == complete.rows[0].video


def test_what_pseudocap_caption_writes_is_read_and_rows_of_errors_are_counted(tmp_path: Path) -> None:
    rows = write(
        tmp_path / "rows.jsonl",
        row_line(video="a.mp4", start=0, end=8, caption="a dog", checkpoint="ours")
        + row_line(video="b.mp4", caption="a cat", checkpoint="ours")
        + row_line(video="c.mp4", error="c.mp4: broken")
        + json.dumps({"video": "d.mp4", "caption": "", "checkpoint": "ours"}),
    )
    said = {"a": [(0, 8, "a dog"), (8, 9, "a tree")], "b": [(0, 3, "a cat")]}
    for name, captions in said.items():
        found = [{"start": start, "end": end, "text": text} for start, end, text in captions]
        write(tmp_path / "said" / f"{name}.json", json.dumps({"file": f"{name}.mp4", "captions": found}))
    assert [(row.id, row.captions) for row in read_own(rows).rows] == [
        ("a.mp4#0.000-8.000", ("a dog",)),
        ("b.mp4", ("a cat",)),
    ]
    (left_out,) = read_own(rows).mismatches
    assert (left_out.what, left_out.found) == ("rows without a caption", 2)
    assert [row.id for row in read_own(tmp_path / "said").rows] == [
        "a.mp4#0.000-8.000",
        "a.mp4#8.000-9.000",
        "b.mp4",
    ]


def test_labels_are_captions_too_but_those_that_filters_object_to(tmp_path: Path) -> None:
    label = Pseudolabel(
        clip=Clip(source="a.mp4", start=0.0, end=8.0), captions=("a dog", "dogs"), log_probs=(), confidence=None,
        frame_times=(), teacher="a test", revision=None, settings="{}", seed=0,
    )  # fmt: skip
    later = replace(label, clip=Clip(source="a.mp4", start=8.0, end=16.0))
    rows = [label, replace(later, verdicts=("short",)), replace(later, captions=(), error="broken")]
    (tmp_path / "labels").mkdir()
    write_labels(shard_path(tmp_path / "labels", 0), rows, root=str(tmp_path))
    for source in (tmp_path / "labels", tmp_path / "labels" / "000000.parquet"):
        corpus = read_own(source)
        (row,) = corpus.rows
        assert (row.video, row.captions, row.start) == (str(tmp_path / "a.mp4"), ("a dog", "dogs"), 0.0)
        assert [(each.what, each.found) for each in corpus.mismatches] == [
            ("rows that filters object to", 1),
            ("rows without a caption", 1),
        ]


def test_captions_in_several_languages_are_rows_of_their_own(tmp_path: Path) -> None:
    english = row_line(video="a.mp4", caption="a dog", start=1.0, end=2.0)
    spanish = [
        row_line(video="a.mp4", caption=text, start=1.0, end=2.0, language="es") for text in ("un perro", "perro")
    ]
    write(tmp_path / "x.jsonl", english + "".join(spanish))
    corpus = read_own(tmp_path / "x.jsonl")
    assert [(row.id, row.language, row.captions) for row in corpus.rows] == [
        ("a.mp4#1.000-2.000@en", "en", ("a dog",)),
        ("a.mp4#1.000-2.000@es", "es", ("un perro", "perro")),
    ]
    assert corpus.languages == ("en", "es")
    write(tmp_path / "one.jsonl", "".join(spanish))
    (row,) = read_own(tmp_path / "one.jsonl").rows
    assert (row.id, row.language) == ("a.mp4#1.000-2.000", ""), "of one language nobody is asked for another"
    write(tmp_path / "bad.jsonl", english + row_line(video="b.mp4", caption="x", language="xx"))
    with pytest.raises(DataError, match=r"bad.jsonl, line 2 .*language 'xx' is not the code"):
        read_own(tmp_path / "bad.jsonl")
