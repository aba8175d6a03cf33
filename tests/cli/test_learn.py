"""`pseudocap learn` as a user runs it: on drawn films, again, killed, with other settings, and with wrong input."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.hub_server import Hub
from helpers.small_worlds import PREPROCESS, write_world
from helpers.tars import image_bytes
from helpers.torch_free import TorchFree
from huggingface_hub import constants

from pseudocap import PseudoCap
from pseudocap.cli import learn
from pseudocap.cli.main import main
from pseudocap.files.sources import SHIPPED
from pseudocap.hub.fetch import find_row
from pseudocap.learn.build import Machine
from pseudocap.learn.plan import LearnPlan, find_videos
from pseudocap.regimes.finetune_report import read_metric


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn films, and two people's captions of each in a file outside their folder."""
    world = write_world(tmp_path_factory.mktemp("world") / "films")
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    (world / "captions.jsonl").unlink()
    text = "".join(json.dumps({name: row[name] for name in ("video", "caption")}) + "\n" for row in rows)
    (world.parent / "people.jsonl").write_text(text)
    return world


@pytest.fixture(scope="module")
def start(build_from: Callable[..., PseudoCap], backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    model = build_from(backbones / "opt")
    model.set_preprocess(PREPROCESS)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options with a teacher whose captions have 8 tokens at least: of those that toy-blip samples, which depend on
    where the films lie, one in thirty is refused as too short."""
    folder = tmp_path_factory.mktemp("teacher") / "blip"
    shutil.copytree(SHIPPED / "toy-blip", folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["min_new_tokens"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    return ["--teacher", str(folder), "--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def run(films: Path, start: Path, teacher: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    assert main(["learn", str(films), "--out", str(out), "--start", str(start), "--steps", "2", *teacher]) == 0
    return out


def times(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.json", ".lock"))
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files if path.parent != folder}


def test_a_folder_of_films_becomes_a_captioner_and_a_report(
    run: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = json.loads((run / "run.json").read_text())
    learned = {json.loads(line)["video"] for line in (run / "captions" / "learned.jsonl").read_text().splitlines()}
    assert len(plan["held_out"]) == 2
    assert learned == {path.name for path in films.iterdir()} - set(plan["held_out"])
    document = json.loads((run / "report" / "done.json").read_text())
    assert document["clips"] == document["videos"] == 2
    assert document["loss"]["before"] != document["loss"]["after"]
    page = (run / "report.html").read_text()
    assert "No captions by people were given, so there is no score" in page
    assert page.count("<article>") == 8
    assert page.count("data:image/jpeg") == 3 * 8
    assert "data:image/png" in page
    assert document["verdict"] in page
    assert main(["caption", str(next(films.iterdir())), "--checkpoint", str(run), "--device", "cpu"]) == 0
    capsys.readouterr()


def test_a_second_run_does_nothing_and_takes_the_options_that_it_began_with(
    run: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(run)
    assert main(["learn", str(films), "--out", str(run), "--device", "cpu", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["verdict"]
    assert captured.err.count("done before") == 6
    assert times(run) == before


def test_other_settings_make_anew_what_stands_on_them_and_people_are_scored_against(
    run: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    words = ["learn", str(films), "--out", str(copy), "--device", "cpu", "--workers", "0", "--json"]
    assert main([*words, "--captions", str(films.parent / "people.jsonl")]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert "captions, memories, train, captioner, report will be made anew" in captured.err
    assert document["references"] == 2
    assert set(document["changes"]) == {"CIDEr-D", "BLEU-4", "ROUGE-L"}
    assert "against people's captions of 2 stretches" in document["verdict"]
    assert "No captions by people" not in (copy / "report.html").read_text()


def test_a_dry_run_states_time_and_disk_and_writes_nothing(
    films: Path, start: Path, teacher: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["learn", str(films), "--out", str(tmp_path / "run"), "--start", str(start), "--dry-run", *teacher]
    assert main(words) == 0
    printed, reported = capsys.readouterr()
    assert reported.index("measuring: loading") < reported.index("measuring: encoding 2 clips")
    assert "8 videos, 0.00 hours, 8 clips; 2 clips of 2 videos are held out" in printed
    assert "40 steps of 6 clips" in printed
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in document["stages"]] == ["labels", "memories", "train", "report"]
    assert 0 < document["bytes"] < document["free"]
    assert document["fetched"] == []
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def workdir(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workdir")
    for name in ("empty", "one", "broken", "full"):
        (folder / name).mkdir()
    (folder / "films").symlink_to(films)
    LearnPlan(root=str(films), videos=(), unreadable={}, start="toy-mixed", teacher="").save(folder / "run")
    shutil.copytree(films, folder / "others")
    shutil.copy(films / "red-left-0.mp4", folder / "one" / "a.mp4")
    (folder / "broken" / "a.mp4").write_bytes(b"no film")
    (folder / "full" / "notes.txt").touch()
    (folder / "list.txt").write_text("one/a.mp4")
    (folder / "two.csv").write_text("video,caption\nred-left-0.mp4,a square\nred-right-0.mp4,a square\n")
    (folder / "few.csv").write_text("video,caption\nred-left-0.mp4,a square\n")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gone", "gone: there is no such folder or file"),
        ("empty", "holds no video"),
        ("broken", "none of the 1 videos of"),
        ("one", "one has 1 readable video, and learning takes at least 3"),
        ("films --steps 0", "--steps must be at least 1, not 0"),
        ("films --holdout 1", "--holdout must be a share above 0 and below 1, not 1"),
        ("films --holdout 0.99", "8 of 8 videos would be held out"),
        ("films --teacher null", "--teacher null does not look at clips"),
        ("films --teacher toy-blpi", "toy-blpi is neither a directory nor a repo's name"),
        ("films --start toy-mixd-ext", "did you mean 'toy-mixed-ext'?"),
        ("one/a.mp4", "one/a.mp4 is of 1 videos, and learning takes at least 3"),
        ("list.txt", "list.txt is of 1 videos, and learning takes at least 3"),
        (
            "films --captions msrvt:gone",
            "--captions msrvt:gone: there is no such file or folder (did you mean 'msrvtt'?)",
        ),
        ("films --captions msrvtt:empty", "empty holds no annotations of MSR-VTT"),
        ("films --captions gone.csv", "--captions gone.csv: there is no such file"),
        ("films --captions few.csv", "1 of its videos are below"),
        ("films --finetune", "--finetune learns people's captions"),
        ("films --finetune --captions two.csv", "--finetune: people captioned 0 videos that are not held out"),
        ("films --regime mixed", "--regime mixed and --pictures FILE belong together"),
        ("films --out full", "--out full holds something that no `pseudocap learn` began"),
        ("films --out few.csv", "--out few.csv is a file; name a folder"),
        ("others --out run", "run learns from the videos of"),
    ],
)
def test_a_mistake_is_one_line_before_torch_is_imported(
    words: str, message: str, torch_free: TorchFree, workdir: Path
) -> None:
    out = [] if "--out" in words else ["--out", "new"]
    done = torch_free.run(["learn", *words.split(), *out], workdir)
    assert (done.code, done.out, done.heavy) == (2, "", []), done
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (workdir / "new").exists()


def test_the_regime_of_clips_alone_leaves_out_the_pictures_that_a_run_began_with(films: Path, tmp_path: Path) -> None:
    videos, unreadable = find_videos(films)
    began = LearnPlan(root=str(films), videos=videos, unreadable=unreadable, start="toy-mixed", teacher="")
    replace(began, pictures="pictures.jsonl").save(tmp_path)
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    words = [str(films), "--out", str(tmp_path)]
    assert learn._begun(parser.parse_args(words))[0].regime == "mixed"
    assert learn._begun(parser.parse_args([*words, "--regime", "video-only"]))[0].regime == "video-only"


def test_with_a_gpu_the_best_teacher_is_taken_where_it_is_cached_or_the_hub_answers(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = find_row(learn.BEST_TEACHER)
    assert row is not None
    gpu = Machine(device="cuda")
    assert learn._default_teacher("toy-mixed", gpu) == "blip-large"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    assert learn._default_teacher("toy-mixed", gpu) == "toy-mixed"
    repo = Path(constants.HF_HUB_CACHE) / f"models--{row.weights.removeprefix('hf://').replace('/', '--')}"
    (repo / "snapshots" / str(row.revision)).mkdir(parents=True)
    (repo / "snapshots" / str(row.revision) / "model.safetensors").touch()
    assert learn._default_teacher("toy-mixed", gpu) == "blip-large"
    assert learn._default_teacher("toy-mixed", Machine(device="cpu")) == "toy-mixed"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    number: signal.Signals, films: Path, start: Path, teacher: list[str], tmp_path: Path
) -> None:
    words = ["learn", str(films), "--start", str(start), "--steps", "30", *teacher]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    command = [sys.executable, "-m", "pseudocap", *words, "--out", str(tmp_path / "killed")]
    threads = str(torch.get_num_threads())  # other sums of the same numbers end in other bits
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": threads}
    with (tmp_path / "errors").open("w") as errors:
        run = subprocess.Popen(command, env=environment, stderr=errors, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "killed").glob("train/run/checkpoints/*.ckpt")):
        assert run.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    run.send_signal(number)
    ended, reported = run.wait(), (tmp_path / "errors").read_text()
    assert number == signal.SIGKILL or (ended == 128 + number and "run the same command again" in reported), reported
    assert "--resume" not in reported, "a stage by itself"
    assert not (tmp_path / "killed" / "train" / "done.json").exists()
    labelled = times(tmp_path / "killed" / "labels")
    assert main([*words, "--out", str(tmp_path / "killed")]) == 0
    assert times(tmp_path / "killed" / "labels") == labelled
    weights = "captioner/adapter_model.safetensors"
    assert (tmp_path / "killed" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


@pytest.mark.slow
def test_the_clips_of_a_tar_are_learned_beside_captioned_pictures(
    films: Path, start: Path, teacher: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(tmp_path / "films.tar", "w") as archive:
        for path in sorted(films.iterdir()):
            archive.add(path, path.name)
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(image_bytes(40 * number))
    rows = [{"image": f"{number}.png", "caption": f"a grey square {number}"} for number in range(4)]
    (tmp_path / "pictures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["learn", str(tmp_path / "films.tar"), "--out", str(tmp_path / "run"), "--start", str(start), *teacher]
    pictures = ["--pictures", str(tmp_path / "pictures.jsonl"), "--steps", "8"]
    assert main([*words, *pictures, "--dry-run"]) == 0
    assert "mixed, 8 steps of 6 clips" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["videos"]
    assert main([*words, *pictures, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 2
    command = json.loads((tmp_path / "run" / "train" / "done.json").read_text())["command"]
    assert command.startswith("pseudocap train mixed")
    metrics = tmp_path / "run" / "train" / "run" / "metrics.csv"
    losses = [read_metric(metrics, f"train/caption/{kind}") for kind in ("image", "video")]
    assert sum(map(len, losses)) == 8
    assert all(losses)
    (tmp_path / "pictures.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert main(words) == 0
    assert "memories, train, captioner, report will be made anew" in capsys.readouterr().err


@pytest.mark.slow
def test_peoples_captions_of_other_videos_are_learned_as_well(
    films: Path, start: Path, teacher: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--start", str(start), "--steps", "2", "--captions", str(films.parent / "people.jsonl"), "--finetune"]
    assert main(["learn", str(films), "--out", str(tmp_path / "run"), *words, "--json", *teacher]) == 0
    assert json.loads((tmp_path / "run" / "finetune" / "done.json").read_text())["command"].startswith("pseudocap")
    held = json.loads((tmp_path / "run" / "run.json").read_text())["held_out"]
    assert not any(name in (tmp_path / "run" / "captions" / "people.jsonl").read_text() for name in held)
