"""`pseudocap bench retrieval`: one table of all retrievers, and one line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.clip_models import write_image_text, write_open_clip
from helpers.corpora import msrvtt_tables, write_json
from helpers.retrievers import write_bert

from pseudocap.cli.main import main
from pseudocap.zoo.tiny import write_blip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_image_text(folder / "clip")
    write_open_clip(folder / "open")
    write_blip(folder / "blip")
    write_bert(folder / "bert")
    return folder


@pytest.fixture
def captions(films: Path, tmp_path: Path) -> Path:
    path = tmp_path / "captions.jsonl"
    rows = [
        {"video": "a.mp4", "caption": ["a dog", "the dog runs"]},
        {"video": "b.mkv", "caption": "a cat"},
        {"video": "c.avi", "caption": "a man"},
        {"video": "broken.mp4", "caption": "nothing"},
        {"video": "gone.mp4", "caption": "nobody"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_all_retrievers_stand_in_one_table(
    home: Path, captions: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = ("clip", "open", "blip+bert")
    retrievers = [str(home / "clip"), str(home / "open"), f"{home / 'blip'}+{home / 'bert'}"]
    options = [word for name in retrievers for word in ("--retriever", name)]
    words = [
        "bench",
        "retrieval",
        str(captions),
        "--videos",
        str(films),
        *options,
        "--frames",
        "1",
        "--bootstrap",
        "50",
    ]
    assert main([*words, "--device", "cpu", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed == (out / "table.md").read_text()
    document = json.loads((out / "results.json").read_text())
    assert [each["name"] for each in document["retrievers"]] == [*names, "chance"]
    assert document["coverage"]["videos"] == 3
    assert (document["coverage"]["missing"], list(document["coverage"]["undecodable"])) == (
        ["gone.mp4"],
        ["broken.mp4"],
    )
    assert "4 texts and 3 videos of own test" in printed
    assert "1 videos that are not there, 1 that cannot be decoded" in printed
    assert "\n| clip | text to video | " in printed
    recall = document["retrievers"][0]["text to video"]["R@1"]
    assert f"| {recall['value']:.1f} ({recall['interval'][0]:.1f} to {recall['interval'][1]:.1f}) |" in printed
    assert document["command"].startswith("pseudocap bench retrieval captions.jsonl --retriever clip open blip+bert ")
    assert str(tmp_path) not in printed
    assert str(home) not in json.dumps(document)


def test_a_leak_is_refused_or_reported(
    home: Path, films: Path, captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = tmp_path / "learned.jsonl"
    learned.write_text(json.dumps({"video": "elsewhere/a.webm", "caption": "a dog"}))
    words = ["bench", "retrieval", str(captions), "--videos", str(films), "--retriever", str(home / "clip")]
    words += ["--trained-on", str(learned), "--bootstrap", "0", "--frames", "1", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "1 of the 5 videos of own test were trained on in own train (a.mp4 first)" in capsys.readouterr().err
    assert main([*words, "--allow-leak", "--device", "cpu"]) == 0
    assert "**Leak**: 1 videos of test that own has trained on." in capsys.readouterr().out


def test_a_list_of_ids_is_a_split(
    home: Path, films: Path, captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.txt").write_text("a.mp4\nc.avi\n")
    words = ["bench", "retrieval", str(captions), "--videos", str(films), "--retriever", str(home / "clip"), "--json"]
    words += ["--list", str(tmp_path / "ids.txt"), "--bootstrap", "0", "--frames", "1", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["coverage"]["videos"] == document["data"]["splits"]["test"]["videos"] == 2
    assert document["retrievers"][0]["rsum"]["interval"] is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--retriever", "nowhere"], "nowhere"),
        (
            ["--retriever", "real-photos"],
            r"real-photos is a captioner; search its captions: real-photos+SENTENCE_ENCODER",
        ),
        (["--retriever", "{clip}", "--retriever", "{clip}"], "--retriever clip is given twice"),
        (["--retriever", "{clip}", "--bootstrap", "1"], "--bootstrap is 1; it takes at least 2 draws"),
        (["--retriever", "{clip}", "--dual-softmax", "0"], "--dual-softmax is 0 and must be a temperature above 0"),
        (["--retriever", "{clip}", "--split", "tset"], "own has no split 'tset'"),
        (["--retriever", "{clip}", "--videos", "nowhere"], "nowhere: there is no such folder"),
        (["--retriever", "{clip}", "--trained-on", "nowhere.json"], "--trained-on nowhere.json: there is no such file"),
        (["--retriever", "{clip}", "--frames", "0"], "--frames"),
    ],
)
def test_each_mistake_has_one_line(
    home: Path, films: Path, captions: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("{clip}", str(home / "clip")) for word in more]
    assert main(["bench", "retrieval", str(captions), "--videos", str(films), *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_a_corpus_that_is_not_there_is_reported_before_torch_is_imported(tmp_path: Path, home: Path) -> None:
    write_json(tmp_path / "MSRVTT_data.json", msrvtt_tables({"train": ["video0"]}))
    words = ["bench", "retrieval", f"msrvtt-1ka:{tmp_path}", "--retriever", str(home / "clip")]
    code = f"import sys; from pseudocap.cli.main import main; print(main({words!r}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
    assert "must hold MSR-VTT's annotations and the 1k-A list" in done.stderr
