"""`pseudocap label` as a newcomer meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.label.schema import read_labels
from pseudocap.video.writer import write_video
from pseudocap.zoo.tiny import write_blip


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two films of five seconds."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("one.mp4", "two.mp4"):
        frames = (np.full((32, 32, 3), 12 * number, np.uint8) for number in range(20))
        write_video(folder / name, frames, rate=4, codec="mpeg4")
    return folder


def label(*arguments: object) -> int:
    return main(["label", *map(str, arguments), "--workers", "0"])


def test_a_summary_and_rows(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(films, "--teacher", "null", "--clip-seconds", 2, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "6 clips labelled" in printed.out
    assert printed.err == ""
    assert [row.caption for row in read_labels(tmp_path / "out")][:2] == [
        "a clip from second 0",
        "a clip from second 2",
    ]
    assert label(films, "--teacher", "null", "--clip-seconds", 2, "--out", tmp_path / "out", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["clips"], result["run"]["clips"]) == (6, 0)


def test_a_row_that_names_a_model_of_transformers_teaches(films: Path, blip_folder: Path, tmp_path: Path) -> None:
    row = {
        "name": "mine",
        "regime": "external",
        "weights": {"source": str(blip_folder)},
        "scores": [],
        "license": "MIT",
    }
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump({"checkpoints": [row]}))
    named = ("--teacher", "mine", "--checkpoints", tmp_path / "rows.yaml", "--max-new-tokens", 4)
    assert label(films, *named, "--clip-seconds", 2, "--device", "cpu", "--out", tmp_path / "out") == 0
    assert {row.teacher for row in read_labels(tmp_path / "out")} == {str(blip_folder)}


def test_what_could_not_be_compared_is_told_before_anything_is_labelled(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(films, "--teacher", "null", "--out", tmp_path / "one") == 0
    new = ("--out", tmp_path / "new", "--teacher", "null")
    assert label(films, *new, "--compare", tmp_path / "nowhere") == 2
    assert "holds no labelling run" in capsys.readouterr().err
    assert label(films, *new, "--shard-size", 1, "--compare", tmp_path / "one") == 2
    assert "--shard-size 32" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_some_of_what_failed_is_named_with_its_reason(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "notes.mp4").write_text("no film")
    assert label(films, "--teacher", "null", "--out", tmp_path / "out", "--max-failure-rate", 1) == 1
    error = capsys.readouterr().err
    assert "notes.mp4: FFmpeg cannot open it as a video" in error
    assert "--retry-failed" in error


def test_two_runs_are_compared(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (films, "--teacher", "null", "--clip-seconds", 2)
    assert label(*options, "--out", tmp_path / "one") == 0
    capsys.readouterr()
    assert label(*options, "--out", tmp_path / "other", "--batch-size", 2, "--compare", tmp_path / "one") == 0
    assert "0 of 6 captions differ (0.00%)" in capsys.readouterr().out
    assert label(*options, "--out", tmp_path / "other", "--batch-size", 2, "--compare", tmp_path / "one", "--json") == 0
    compared = json.loads(capsys.readouterr().out)["compared"]
    assert compared == {"clips": 6, "differing": 0, "only_one": 0, "share": 0.0}


def test_labels_go_to_an_address(films: Path, tmp_path: Path) -> None:
    assert label(films, "--teacher", "null", "--clip-seconds", 2, "--out", f"file://{tmp_path}/out") == 0
    assert len(list(read_labels(tmp_path / "out"))) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--teachers", "many"), "--teachers is 'many' and must be MIN:MAX"),
        (("--teachers", "3:2"), "teachers are 3 to 2"),
        (("--gpus-per-teacher", "1.5"), "above one, whole ones only"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(
    options: tuple[str, ...], words: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    given = ("label", str(films), "--teacher", "gone/gone", "--out", str(tmp_path / "out"), "--engine", "ray", *options)
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_a_failed_clip_shows_in_the_exit_code(films: Path, tmp_path: Path) -> None:
    (films / "broken.mp4").write_text("no film")
    assert label(films, "--teacher", "null", "--out", tmp_path / "out") == 1


def test_a_blip_teaches(films: Path, tmp_path: Path) -> None:
    write_blip(tmp_path / "blip")
    options = ("--teacher", tmp_path / "blip", "--max-new-tokens", 8, "--device", "cpu", "--batch-size", 4)
    assert label(films, *options, "--out", tmp_path / "first") == 0
    first = list(read_labels(tmp_path / "first"))
    assert {row.teacher for row in first} == {str(tmp_path / "blip")}
    assert json.loads(first[0].settings)["top_p"] == 0.9
    below = max(row.confidence or 0.0 for row in first)
    again = ("--relabel", tmp_path / "first", "--below", below, "--seed", 1)
    assert label(*options, *again, "--out", tmp_path / "second") == 0
    assert sorted(row.seed for row in read_labels(tmp_path / "second")) == [0, 1]


def test_a_pseudocap_watches_the_whole_clip(films: Path, tmp_path: Path, model: PseudoCap) -> None:
    model.save_pretrained(tmp_path / "checkpoint")
    options = ("--teacher", tmp_path / "checkpoint", "--max-new-tokens", 8, "--device", "cpu", "--batch-size", 2)
    assert label(films, *options, "--out", tmp_path / "out") == 0
    rows = list(read_labels(tmp_path / "out"))
    assert {len(row.frame_times) for row in rows} == {model.config.preprocess.frames}
    assert all(row.confidence is not None for row in rows)
    assert label(films, *options, "--greedy", "--clip-seconds", 5, "--out", tmp_path / "greedy") == 0
    captions = [row.caption for row in read_labels(tmp_path / "greedy")]
    expected = model.caption([films / "one.mp4", films / "two.mp4"], max_new_tokens=8)
    assert captions == [" ".join(text.split()) for text in expected]


@pytest.mark.parametrize("teacher", ["pseudocap://toy-blip", "pseudocap://toy-mixed", "toy-mixed"])
def test_a_toy_teacher_says_that_it_is_one(
    teacher: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(films, "--teacher", teacher, "--clip-seconds", 5, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err.count(f"warning: {teacher} is a toy: ") == 1


def test_transcripts_are_the_baselines_teacher(films: Path, tmp_path: Path) -> None:
    spoken = {"one": {"start": [0.0, 3.0], "end": [2.0, 4.0], "text": ["hello there", "we cook"]}}
    (tmp_path / "caption.json").write_text(json.dumps(spoken))
    options = ("--teacher", "asr", "--transcripts", tmp_path / "caption.json", "--clip-seconds", 2.5)
    assert label(films, *options, "--out", tmp_path / "out") == 0
    rows = list(read_labels(tmp_path / "out"))
    assert [row.caption for row in rows] == ["hello there", "we cook", "", ""]
    assert rows[2].verdicts == ("empty",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gone/", "--teacher", "null"), "there is no such file or folder"),
        (("FILMS", "--teacher", "gone"), "gone is neither a directory nor a repo"),
        (("FILMS", "--teacher", "asr"), "name the transcripts with --transcripts"),
        (("FILMS", "--teacher", "null", "--below", "0.5"), "--relabel and --below belong together"),
        (("--teacher", "null"), "name either SOURCE or"),
        (("FILMS", "--teacher", "null", "--min-seconds", "9"), "min_seconds is 9"),
        (
            ("FILMS", "--teacher", "null", "--max-failure-rate", "2"),
            "--max-failure-rate must be a share from 0 to 1, not 2",
        ),
        (("FILMS", "--greedy", "--top-p", "0.9"), "--greedy excludes"),
        (("FILMS", "--teacher", "gone", "--top-p", "2"), "top_p must be above 0 and at most 1, not 2"),
        (("FILMS", "--teacher", "null", "--captions", "0"), "captions must be a whole number, at least 1, not 0"),
        (("FILMS", "--teacher", "gone", "--greedy", "--captions", "3"), "--greedy has one caption to give"),
        (("FILMS", "--teacher", "gone", "--captions", "3", "--frames", "consensus"), "leave --captions out"),
        (("FILMS", "--teacher", "null", "--words", "gone.txt"), "--words gone.txt cannot be read"),
        (("FILMS", "--teacher", "null", "--address", "10.0.0.1:6379"), "--address and --gpus-per-teacher belong to"),
        (("FILMS", "--teacher", "null", "--compare", "OUT"), "is --out itself"),
        (("FILMS", "--teacher", "null", "--out", "memory://labels"), "gone when this command ends"),
        (("FILMS", "--teacher", "null", "--compare", "gone"), "gone holds no labelling run"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], words: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"FILMS": str(films), "OUT": str(tmp_path / "out")}
    given = [places.get(argument, argument) for argument in arguments]
    where = () if "--out" in given else ("--out", tmp_path / "out")
    assert label(*given, *where) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert words in printed
    assert printed.count("\n") == 1
