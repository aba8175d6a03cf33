"""Check that all caption formats agree, round-trip, and report what is wrong with them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.metrics import formats
from pseudocap.rows import row_line

REFERENCES = {"1": ["a dog runs", "the dog"], "vid2": ["a cat"]}
FORMS = {
    "plain.json": REFERENCES,
    "coco.json": {
        "images": [{"id": 1, "category": "pets"}, {"id": "vid2", "category": "pets", "split": "test"}],
        "annotations": [
            {"image_id": 1, "id": 0, "caption": "a dog runs"},
            {"image_id": "vid2", "id": 1, "caption": "a cat"},
            {"image_id": 1, "id": 2, "caption": "the dog"},
        ],
    },
    "msrvtt.json": {
        "info": {},
        "videos": [{"id": 0, "video_id": 1, "category": 9}, {"id": 1, "video_id": "vid2", "category": 3}],
        "sentences": [
            {"sen_id": 0, "video_id": 1, "caption": "a dog runs"},
            {"sen_id": 1, "video_id": 1, "caption": "the dog"},
            {"sen_id": 2, "video_id": "vid2", "caption": "a cat"},
        ],
    },
    "rows.json": [{"video": 1, "caption": ["a dog runs", "the dog"]}, {"video": "vid2", "caption": ["a cat"]}],
    "rows.jsonl": '{"id": 1, "captions": ["a dog runs", "the dog"]}\n\n{"id": "vid2", "text": "a cat"}\n',
    "list.txt": "1\ta dog runs\n1\tthe dog\nvid2\ta cat\n",
}


def save(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize("name", FORMS)
def test_every_form_holds_the_same_captions(name: str, tmp_path: Path) -> None:
    assert formats.read_references(save(tmp_path, name, FORMS[name])).captions == REFERENCES


def test_what_a_file_says_of_its_videos_is_kept(tmp_path: Path) -> None:
    read = formats.read_references(save(tmp_path, "coco.json", FORMS["coco.json"]))
    assert read.facts["vid2"]["category"] == "pets"
    assert read.only(field="split", value="test", path=tmp_path).captions == {"vid2": ["a cat"]}
    with pytest.raises(DataError, match="no video has split 'val'; there are: test"):
        read.only(field="split", value="val", path=tmp_path)


@pytest.mark.parametrize("form", formats.FORMS)
def test_what_is_written_is_read_again(form: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.jsonl" if form == "jsonl" else "x.json")
    formats.write_references(path, REFERENCES, form=form)
    assert formats.read_references(path).captions == REFERENCES
    formats.write_predictions(path, {"1": "ein Hund, größer", "vid2": ""}, form=form)
    assert formats.read_predictions(path) == {"1": "ein Hund, größer", "vid2": ""}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_written_results_are_what_coco_caption_loads(tmp_path: Path) -> None:
    formats.write_predictions(tmp_path / "x.json", {"1": "a dog", "01": "b", "vid2": "a cat"})
    rows = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert rows == [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": "01", "caption": "b"},
        {"image_id": "vid2", "caption": "a cat"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.json", "{'a': 1}", "x.json is not JSON: .* line 1, column 2"),
        ("x.json", '{"id": "a"}\n{"id": "b"}', "not JSON: Extra data.*name it .jsonl"),
        ("x.json", '{"a": "x", "a": "y"}', "'a' appears twice"),
        ("x.json", "3", "must hold a list of rows or an object, not 3"),
        ("x.json", '{"a": 3}', "'a': the caption must be text or a list of texts, not 3"),
        ("x.json", '[{"caption": "x"}]', "row 0 must be an object with one of image_id, video_id"),
        ("x.json", '["x"]', 'row 0 must be an object .* not "x"'),
        ("x.json", "{}", "holds no captions"),
        ("x.jsonl", '{"id": 1, "caption": "x"}\n{oops', "x.jsonl, line 2 is not JSON"),
        ("x.txt", "v1 a dog", "line 1: there is no tab"),
        ("x.json", '{"a": ["x", "y"]}', "'a' has 2 captions.*wrong way round"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(name: str, content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        formats.read_predictions(save(tmp_path, name, content))


def test_suffixes_are_read_in_capitals_too(tmp_path: Path) -> None:
    for name, content in (
        ("X.CSV", "video,caption\na,a dog\n"),
        ("X.TSV", "a\ta dog\n"),
        ("X.JSONL", '{"id": "a", "caption": "a dog"}\n' * 2),
    ):
        (tmp_path / name).write_text(content)
        assert set(formats.read_references(tmp_path / name).captions["a"]) == {"a dog"}


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes('{"a": "größer"}'.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        formats.read_predictions(tmp_path / "x.json")


@pytest.mark.parametrize("content", ['["x"]', '{"a": 1}', '{"a": {"objects": "dog"}}', '{"a": {"things": []}}'])
def test_a_truth_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="objects"):
        formats.read_truth(save(tmp_path, "truth.json", content))


def test_caption_rows_are_read_by_the_id_of_their_stretch_and_rows_of_errors_hold_nothing(tmp_path: Path) -> None:
    rows = (
        row_line(video="films/a.mp4", start=0, end=8, caption="a dog", checkpoint="ours")
        + row_line(video="films/b.mp4", caption="a cat", split="val")
        + row_line(video="films/c.mp4", error="broken")
    )
    read = formats.read_references(save(tmp_path, "x.jsonl", rows))
    assert read.captions == {"films/a.mp4#0.000-8.000": ["a dog"], "films/b.mp4": ["a cat"]}
    assert read.facts["films/b.mp4"]["split"] == "val"
    (tmp_path / "x.csv").write_text("video,caption,weather\na,a dog,rain\n")
    assert formats.read_references(tmp_path / "x.csv").facts["a"] == {"weather": "rain"}
    document = {"file": "films/a.mp4", "captions": [{"start": 0, "end": 4, "text": "a dog"}]}
    assert formats.read_predictions(save(tmp_path, "a.json", document)) == {"films/a.mp4": "a dog"}


def test_predictions_are_matched_by_the_name_of_their_video_where_that_is_clear() -> None:
    known = ["video7", "films/b.webm", "c#0.000-8.000", "c#8.000-9.000", "7.5"]
    given = {"clips/video7.mp4": "a", "b.mp4": "b", "x/c.mp4#8.000-9.000": "c", "7.5": "d", "other.mp4": "e"}
    assert formats.match_ids(given, known) == {
        "video7": "a",
        "films/b.webm": "b",
        "c#8.000-9.000": "c",
        "7.5": "d",
        "other.mp4": "e",
    }
    assert formats.match_ids({"d.mp4#0.000-8.000": "a"}, ["d"]) == {"d": "a"}  # the one clip of a film
    twice = {"x/a.mp4": "a", "y/a.mp4": "b"}
    assert formats.match_ids(twice, ["a"]) == twice  # nobody knows which is meant
