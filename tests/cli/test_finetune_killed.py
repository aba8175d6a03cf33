"""`pseudocap finetune` and `train` as processes: killed, or stopped by the Ctrl-C of a terminal, they go on exactly."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.small_worlds import write_world
from helpers.tars import video_tars

from pseudocap import PseudoCap

pytestmark = pytest.mark.slow


def started(words: list[str]) -> subprocess.Popen[str]:
    """Start a verb as the job of a terminal: a process group of its own, whose Ctrl-C its workers get as well."""
    return subprocess.Popen(
        [sys.executable, "-m", "pseudocap", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(words: list[str]) -> str:
    process = started(words)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = (PseudoCap.from_pretrained(each, device="cpu").adapter_state() for each in (first, second))
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_killed_and_a_stopped_finetuning_go_on_to_the_same_weights(backbones: Path, tmp_path: Path) -> None:
    world = write_world(tmp_path / "world")
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    words = ["finetune", "--from", str(tmp_path / "start"), "--data", str(world / "captions.jsonl"), "--device", "cpu"]
    words += ["--batch-size", "2", "--max-epochs", "8", "--patience", "8", "--checkpoint-every", "1", "--workers", "1"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    finished([*words, "--out", str(whole)])

    killed = started([*words, "--out", str(run)])
    wait_for(run / "checkpoints" / "last.ckpt", killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    before = (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    stopped = started([*words, "--out", str(run), "--resume"])
    while (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before:
        assert stopped.poll() is None, stopped.communicate()[1]
        time.sleep(0.005)
    os.killpg(stopped.pid, signal.SIGINT)
    out, err = stopped.communicate()
    assert stopped.returncode == 130, out + err
    assert "Traceback" not in err
    offer = err.splitlines()[-1]
    finished(shlex.split(offer.removeprefix("to go on: pseudocap ")))

    assert same_weights(run / "best", whole / "best")
    assert same_weights(run / "last", whole / "last")
    for name in ("results.json", "report.md"):
        assert (run / name).read_text() == (whole / name).read_text().replace(str(whole), str(run))


def test_a_sigterm_ends_a_training_with_the_command_that_goes_on(backbones: Path, tmp_path: Path) -> None:
    video_tars(tmp_path / "clips")
    words = ["train", "video-only", "--config", "toy", "--data.videos", str(tmp_path / "clips")]
    words += ["--model.model.init_args.decoder", str(backbones / "opt"), "--checkpoint_every", "2"]
    words += ["--model.model.init_args.encoder", str(backbones / "timesformer"), "--trainer.max_steps", "200"]
    words += ["--data.workers", "1", "--data.batch_size", "2", "--trainer.accelerator", "cpu"]
    finished([*words, "--out", str(tmp_path / "whole")])
    run = tmp_path / "run"
    process = started([*words, "--out", str(run)])
    wait_for(run / "checkpoints" / "last.ckpt", process)
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert "which last.ckpt holds" in err
    offer = err.splitlines()[-1]
    assert offer == f"to go on: pseudocap {shlex.join([*words, '--out', str(run), '--resume'])}"
    finished(shlex.split(offer.removeprefix("to go on: pseudocap ")))
    assert same_weights(run / "last", tmp_path / "whole" / "last")
