"""Whole runs in processes of their own: two ranks side by side, and a run that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import recorder
from helpers.caption_rows import keys, write_captions
from helpers.recorder import Recorder, recorded, trainer
from helpers.tars import image_tars, video_tars

from pseudocap.data import StreamData
from pseudocap.errors import ConfigError

SCRIPT = Path(recorder.__file__)
TWO_RANKS = {"strategy": "ddp", "devices": 2}


def start(setting: dict[str, Any]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(setting)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(setting: dict[str, Any]) -> str:
    process = start(setting)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_two_ranks_evaluate_every_video_once_and_train_on_different_ones(tmp_path: Path) -> None:
    """Lightning's default is to put a sampler of its own into the loaders, which would repeat videos."""
    captions = write_captions(tmp_path / "corpus", {"train": 8, "val": 5, "test": 7}, broken=["test2"])
    options = {**TWO_RANKS, "max_epochs": 2, "use_distributed_sampler": True}
    data = {"batch_size": 2, "workers": 1, "max_failure_rate": 0.3}
    setting = {"captions": str(captions), "folder": str(tmp_path), "data": data, "trainer": options, "test": True}
    run(setting)
    train, val, test = ([recorded(tmp_path, stage, rank) for rank in range(2)] for stage in ("train", "val", "test"))
    for epoch in range(2):
        seen = [key for rank in train for key in keys(rank[2 * epoch : 2 * epoch + 2])]
        assert sorted(seen) == [f"train{k}" for k in range(8)]
        evaluated = [key for rank in val for key in keys([batch for batch in rank if batch["epoch"] == epoch])]
        assert sorted(evaluated) == [f"val{k}" for k in range(5)]
    tested = [key for rank in test for key in keys(rank)]
    assert sorted(tested) == [f"test{k}" for k in range(7) if k != 2]
    for rank in range(2):
        assert json.loads((tmp_path / f"coverage-{rank}.json").read_text())["test"] == ["test2"]


@pytest.mark.slow
def test_two_ranks_resume_a_mixture_where_they_were_and_not_with_another_number_of_ranks(tmp_path: Path) -> None:
    images, videos = image_tars(tmp_path / "images", tars=4, each=5), video_tars(tmp_path / "videos")
    data = {"batch_size": 1, "image_batch_factor": 2, "workers": 1, "probabilities": {"image": 0.5, "video": 0.5}}

    def setting(folder: str, steps: int, **more: Any) -> dict[str, Any]:
        options = {**TWO_RANKS, "max_steps": steps}
        where = {"images": str(images), "videos": str(videos), "folder": str(tmp_path / folder)}
        return {**where, "data": {**data, "epoch_steps": 3}, "trainer": options, "checkpoints": True, **more}

    run(setting("straight", 8))
    checkpoint = str(tmp_path / "straight" / "checkpoints" / "step=4.ckpt")
    run(setting("again", 8, resume=checkpoint))
    straight = [recorded(tmp_path / "straight", "train", rank) for rank in range(2)]
    again = [recorded(tmp_path / "again", "train", rank) for rank in range(2)]
    assert again == [rank[4:] for rank in straight]
    assert [batch["modality"] for batch in straight[0]] != [batch["modality"] for batch in straight[1]]
    pictures = [key for rank in straight for batch in rank if batch["modality"] == "image" for key in batch["keys"]]
    assert len(set(pictures[:20])) == len(pictures[:20])
    alone = StreamData(images, videos, **data)
    with pytest.raises(ConfigError, match="the run to resume had ranks 2 and this one has 1"):
        trainer(tmp_path, max_steps=8).fit(Recorder(tmp_path / "alone"), alone, ckpt_path=checkpoint)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_batch_after_its_last_checkpoint(tmp_path: Path) -> None:
    captions = write_captions(tmp_path / "corpus", {"": 12})

    def setting(folder: str, steps: int, **more: Any) -> dict[str, Any]:
        data = {"batch_size": 2, "workers": 2}
        where = {"captions": str(captions), "folder": str(tmp_path / folder)}
        return {**where, "data": data, "trainer": {"max_steps": steps}, "checkpoints": True, **more}

    run(setting("straight", 60))
    process = start(setting("killed", 10_000))
    deadline = time.monotonic() + 100
    while len(recorded(tmp_path / "killed", "train")) < 25 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    saved = sorted((tmp_path / "killed" / "checkpoints").glob("*.ckpt"), key=lambda path: int(path.stem.split("=")[1]))
    step = int(saved[-2].stem.split("=")[1])  # the last one may be half written
    assert 20 <= step < 60
    run(setting("again", 60, resume=str(saved[-2])))
    assert recorded(tmp_path / "again", "train") == recorded(tmp_path / "straight", "train")[step:]
