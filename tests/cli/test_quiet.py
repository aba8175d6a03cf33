"""What a newcomer sees on stderr: our own lines, and nothing that the libraries say in every run."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from helpers.small_worlds import write_world
from helpers.tars import video_tars

from pseudocap import PseudoCap
from pseudocap.cli.quiet import quieten
from pseudocap.hub.toys import NOTICE, RETRIEVER_NOTICE, ToyWarning


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "pseudocap", *map(str, words)]


def pseudocap(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=True)


@pytest.mark.parametrize("notice", [NOTICE, RETRIEVER_NOTICE])
def test_the_warning_of_a_toy_is_left_to_the_verbs(notice: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        quieten()
        warnings.warn(f"toy-mixed {notice}", ToyWarning, stacklevel=1)
    assert caught == []


@pytest.mark.slow
def test_captioning_says_nothing_but_what_matters(tmp_path: Path) -> None:
    write_world(tmp_path)
    done = pseudocap("caption", tmp_path / "red-left-0.mp4", "--checkpoint", "toy-mixed", "--device", "cpu")
    assert done.stderr == f"loading toy-mixed\nwarning: toy-mixed {NOTICE}\n"
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
def test_training_says_how_far_it_is_and_nothing_of_the_libraries(backbones: Path, tmp_path: Path) -> None:
    video_tars(tmp_path / "clips")
    where = ["--model.model.init_args.decoder", backbones / "opt", "--out", tmp_path / "run"]
    where += ["--model.model.init_args.encoder", backbones / "timesformer", "--data.videos", tmp_path / "clips"]
    few = ["--data.workers", "0", "--data.batch_size", "2", "--trainer.accelerator", "cpu", "--trainer.max_steps", "2"]
    done = pseudocap("train", "video-only", "--config", "toy", *where, *few)
    assert done.stdout == f"2 steps; the captioner is {tmp_path / 'run' / 'last'}\n"
    assert [line for line in done.stderr.splitlines() if not line.startswith(("training: ", "videos: "))] == []


@pytest.mark.slow
def test_the_bar_of_a_fine_tuning_is_drawn_on_a_terminals_stderr(backbones: Path, tmp_path: Path) -> None:
    world = write_world(tmp_path / "world")
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    words = ["--from", tmp_path / "start", "--data", world / "captions.jsonl", "--out", tmp_path / "run"]
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("w") as out:
        options = ["--max-epochs", "2", "--workers", "0", "--device", "cpu"]
        running = subprocess.Popen(command("finetune", *words, *options), stdout=out, stderr=theirs)
        os.close(theirs)
        drawn = read_to_the_end(ours)
    assert running.wait() == 0
    assert "validating" in drawn
    assert "loss " in drawn
    assert "steps/s" in drawn
    for noise in ("GPU available", "Params", "Tip", "Restor", "modules in train mode"):
        assert noise not in drawn
    assert (tmp_path / "out").read_text().startswith("CIDEr-D ")


def read_to_the_end(terminal: int) -> str:
    read = b""
    try:
        while chunk := os.read(terminal, 4096):
            read += chunk
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(terminal)
    return read.decode(errors="replace")
