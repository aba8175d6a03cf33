"""`pseudocap translate` as a user meets it; with the program apertium where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.label_worlds import SHORT, rows, write_film
from helpers.label_worlds import run as label

from pseudocap.cli.main import main
from pseudocap.label.shard import LabelSpec
from pseudocap.rows import read_rows, row_line

ROOT = Path(__file__).resolve().parents[2]
installed = pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")
CAPTIONS = ["a man is riding a horse", "a dog is running", "the house is green"]


def captions(folder: Path, count: int = 3) -> Path:
    path = folder / "captions.jsonl"
    path.write_text("".join(row_line(video=f"{n}.mp4", caption=CAPTIONS[n % 3], split="train") for n in range(count)))
    return path


@installed
def test_captions_are_translated_into_each_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["translate", str(captions(tmp_path)), "--to", "es,ca", "--translator", "apertium"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--round-trip", "0.2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["es"] == {
        "out": str(tmp_path / "out" / "captions.es.jsonl"), "rows": 3, "kept": 3, "captions": 3, "verdicts": {},
    }  # fmt: skip
    spanish = list(read_rows(tmp_path / "out" / "captions.es.jsonl"))
    assert [row.captions[0] for row in spanish] == [
        "un hombre está montando un caballo", "un perro está corriendo", "la casa es verde",
    ]  # fmt: skip
    assert {row.split for row in spanish} == {"train"}
    assert next(read_rows(tmp_path / "out" / "captions.ca.jsonl")).captions == ("un home està muntant un cavall",)


@installed
def test_labels_are_translated_and_the_same_command_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "0.mp4", frames=20, seed=0)
    label(tmp_path / "films", tmp_path / "labels", LabelSpec(framing=SHORT, shard_size=1))
    arguments = ["translate", str(tmp_path / "labels"), "--to", "es", "--translator", "apertium"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert "rows without a verdict" in capsys.readouterr().out
    made = rows(tmp_path / "out" / "es")
    assert {(row.teacher, row.language) for row in made} == {("apertium", "es")}
    assert all(json.loads(row.settings)["pair"] == "eng-spa" for row in made)
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert rows(tmp_path / "out" / "es") == made


@installed
@pytest.mark.slow
def test_a_killed_translation_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    source = captions(tmp_path, count=700)
    words = ["translate", str(source), "--to", "es", "--translator", "apertium", "--out"]
    command = [sys.executable, "-m", "pseudocap.cli.main", *words, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".captions.es-*/*.jsonl")):
        assert process.poll() is None, "it must still be at work"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "captions.es.jsonl").exists()
    assert main([*words, str(tmp_path / "out")]) == 0
    assert main([*words, str(tmp_path / "whole")]) == 0
    made, whole = (tmp_path / name / "captions.es.jsonl" for name in ("out", "whole"))
    assert made.read_bytes() == whole.read_bytes()
    assert len(made.read_text().splitlines()) == 700


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["captions.jsonl", "--to", "es,xx"], "'xx' is not the code of a language"),
        (["captions.jsonl", "--to", "es,en"], "must name each language once, and none that LABELS are in (en)"),
        (["captions.jsonl", "--to", "es,es"], "must name each language once"),
        (["nothing.jsonl", "--to", "es"], "nothing.jsonl: there is no such file or folder"),
        (["empty", "--to", "es"], "holds no labelling run"),
        (["questions:captions.jsonl", "--to", "es"], "has questions, and captions alone are translated"),
        (["captions.jsonl", "--to", "es", "--beams", "0"], "--beams must be at least 1, not 0"),
        (["captions.jsonl", "--to", "es", "--max-copied", "2"], "max_copied is 2"),
        (["captions.jsonl", "--to", "es", "--back", "apertium"], "--back is for --round-trip, which is off"),
        (["captions.jsonl", "--to", "es", "--out", "captions.jsonl"], "--out captions.jsonl is a file"),
        (
            ["captions.jsonl", "--to", "es", "--translator", "apertum"],
            "no translator 'apertum' (did you mean 'apertium'?)",
        ),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_done(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    captions(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["translate", "--translator", "apertium", "--out", "out", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
