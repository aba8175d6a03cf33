"""`pseudocap score` as a user meets it: what is printed, what is written, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.corpora import SMALL, msrvtt_tables, small_ids, write_json

from pseudocap.cli.main import main
from pseudocap.data.corpora import msrvtt
from pseudocap.rows import row_line

TEXTS = [
    (1, "a dog runs fast"),
    (1, "the dog is running"),
    (2, "a cat sleeps on a bed"),
    (3, "a man cooks rice in a pot"),
    (4, "a woman eats an apple"),
]
REFERENCES = {
    "images": [{"id": n, "category": "pets" if n < 3 else "food", "split": "test"} for n in range(1, 5)],
    "annotations": [{"image_id": n, "id": k, "caption": text} for k, (n, text) in enumerate(TEXTS)],
}
PREDICTIONS = [
    {"image_id": 1, "caption": "a dog runs fast"},
    {"image_id": 2, "caption": "a cat sleeps"},
    {"image_id": 3, "caption": "a dog is cooking"},
    {"image_id": 4, "caption": "hello"},
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.json").write_text(json.dumps(PREDICTIONS))
    (tmp_path / "r.json").write_text(json.dumps(REFERENCES))
    (tmp_path / "half.json").write_text(json.dumps({"1": "a dog", "2": "a cat", "9": "a cow"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["score", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_table_with_the_coverage_first_then_examples(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "p.json", "r.json", "--examples", "1")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "4 videos, all of the references"
    assert [line.split()[0] for line in lines[1:4]] == ["CIDEr-D", "BLEU-4", "ROUGE-L"]
    assert "3: 'a dog is cooking'" in lines[lines.index("worst by CIDEr-D") + 1]
    assert "1: 'a dog runs fast'" in lines[lines.index("best by CIDEr-D") + 1]


def test_fewer_videos_than_the_split_holds_are_told_first(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "half.json", "r.json", "--allow-missing")
    assert code == 0
    assert out.splitlines()[0] == ("ONLY 2 of 4 videos (without a prediction: 2); predictions without references: 1")
    code, out, err = run(capsys, "half.json", "r.json", "--allow-missing", "--json")
    assert json.loads(out)["missing"] == ["3", "4"]
    assert "ONLY 2 of 4" in err


def test_json_holds_what_the_table_shows(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--json",
        "--by",
        "category",
        "--bootstrap",
        "50",
        "--against",
        "p.json",
        "--language",
        "--examples",
        "2",
    ]
    code, out, _ = run(capsys, "p.json", "r.json", *options)
    found = json.loads(out)
    assert code == 0
    assert next(iter(found)) == "videos"
    assert found["by"]["pets"]["scored"] == found["by"]["food"]["scored"] == 2
    low, high = found["intervals"]["ROUGE-L"]
    assert low < found["scores"]["ROUGE-L"] < high
    assert found["against"]["CIDEr-D"]["value"] == 0
    assert [row["id"] for row in found["worst"]] == ["3", "4"]
    assert found["language"]["captions"] == 4
    assert found["not_computed"] == {}


def test_the_table_shows_groups_the_other_system_and_language(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "truth.json").write_text(json.dumps({"3": {"objects": ["man"]}, "1": {"objects": ["dog"]}}))
    options = ["--by", "category", "--against", "p.json", "--training", "r.json", "--truth", "truth.json"]
    _, out, _ = run(capsys, "p.json", "r.json", *options)
    lines = out.splitlines()
    assert any(line.split()[:2] == ["food", "2"] for line in lines)
    assert any(line.startswith("CIDEr-D") and "p = 1.000" in line for line in lines)
    assert "unseen captions        0.750" in lines
    assert "hallucinated objects   0.500" in lines
    assert "hallucinated actions   not asked for or unknown" in lines


def test_files_are_written_in_coco_caption_s_forms(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writes = ["--write-predictions", "a.json", "--write-references", "b.json", "--write-scores", "c.json"]
    assert run(capsys, "p.json", "r.json", *writes)[0] == 0
    assert json.loads((files / "a.json").read_text()) == PREDICTIONS
    assert [row["image_id"] for row in json.loads((files / "c.json").read_text())] == [1, 2, 3, 4]
    first = run(capsys, "p.json", "r.json")
    assert run(capsys, "a.json", "b.json") == first


def test_a_metric_that_cannot_run_is_reported_and_the_rest_computed(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(files))
    code, out, _ = run(capsys, "p.json", "r.json", "--metrics", "METEOR, ROUGE-L")
    assert code == 0
    assert "METEOR   not computed: there is no java" in out
    code, out, _ = run(capsys, "p.json", "r.json", "--metrics", "METEOR")
    assert code == 1


def test_rows_in_another_language_are_tokenised_as_it_is(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.jsonl").write_text(
        row_line(video="a", caption="一只狗在跑", language="zh")
        + row_line(video="b", caption="有人切菜", language="zh")
    )
    Path("p.jsonl").write_text(row_line(video="a", caption="狗在跑") + row_line(video="b", caption="一个人"))
    _, out, _ = run(capsys, "p.jsonl", "r.jsonl", "--json", "--metrics", "ROUGE-L")
    assert json.loads(out)["tokenization"] == "characters"
    assert json.loads(out)["scores"]["ROUGE-L"] > 30
    code, out, _ = run(capsys, "p.jsonl", "r.jsonl", "--text-language", "es", "--metrics", "ROUGE-L", "--examples", "0")
    assert (code, out.splitlines()[0]) == (0, "2 videos, all of the references; tokens: words")
    code, _, err = run(capsys, "p.jsonl", "r.jsonl", "--text-language", "xx")
    assert (code, err.count("\n")) == (2, 1)
    assert "'xx' is not the code of a language" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.json", "r.json"], "predictions nowhere.json: there is no such file"),
        (["p.json", "nowhere.json"], "references nowhere.json: there is no such file"),
        (["p.json", "r.json", "--truth", "nowhere.json"], "--truth nowhere.json: there is no such file"),
        (["p.json", "empty"], "empty holds no captions in .json or .jsonl files"),
        (["r.json", "p.json"], "one caption a video"),
        (
            ["half.json", "r.json"],
            "videos without a prediction: 2 of 4 ('3', '4'); predictions without references: 1 ('9')",
        ),
        (["p.json", "r.json", "--metrics", "CIDER"], "CIDEr-D"),
        (["p.json", "r.json", "--by", "colour"], "there are: category, split"),
        (["p.json", "r.json", "--split", "val"], "there are: test"),
        (["p.json", "r.json", "--bootstrap", "1"], "at least 2"),
        (["p.json", "r.json", "--against", "half.json"], "without a prediction: 2 of 4"),
        (["p.json", "r.json", "--examples", "-1"], "--examples must be at least 0, not -1"),
        (["p.json", "r.json", "--write-scores", "no/x.json"], "no"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], says: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert out == ""


def test_official_annotations_are_references(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msrvtt, "VIDEOS", SMALL)
    write_json(files / "official" / "MSRVTT_data.json", msrvtt_tables(small_ids()))
    rows = "".join(row_line(video=f"films/{name}.mp4", caption="caption 1") for name in small_ids()["test"])
    (files / "said.jsonl").write_text(rows + row_line(video="films/gone.mp4", error="films/gone.mp4: broken"))
    code, out, err = run(capsys, "said.jsonl", "msrvtt:official", "--split", "test", "--by", "category")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "2 videos, all of the references"
    code, _, err = run(capsys, "said.jsonl", "msrvt:official")
    assert (code, "did you mean 'msrvtt'" in err) == (2, True)
