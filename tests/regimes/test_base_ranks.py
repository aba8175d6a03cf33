"""Two ranks on gloo: gradients are the mean of the ranks' own, and every validation video is captioned once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ranks
from helpers.ranks import STEPS, build
from helpers.small_worlds import write_world
from helpers.tars import image_tars, video_tars

from pseudocap.types import Batch

SCRIPT = Path(ranks.__file__)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"), takes=2)
    (folder / "white-right-1.mp4").unlink()  # three videos to validate on two ranks
    lines = [line for line in (folder / "captions.jsonl").read_text().splitlines() if "white-right-1" not in line]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    image_tars(folder / "images")
    video_tars(folder / "pseudolabels")
    return folder


def run(backbones: Path, world: Path, out: Path, strategy: str, devices: int) -> str:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, (backbones, world, out)), strategy, str(devices)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def own_gradients(backbones: Path, batch: Batch) -> dict[str, torch.Tensor]:
    """Of one rank's batch alone, by the plain network."""
    model = build(backbones)
    assert batch.frames is not None
    tokens = model.tokenize(batch.captions)
    memory = model.encode(batch.frames, batch.frame_mask)
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
def test_gradients_are_the_mean_of_the_ranks_and_every_video_is_scored_once(
    backbones: Path, world: Path, tmp_path: Path
) -> None:
    output = run(backbones, world, tmp_path / "two", "ddp", 2)
    assert "unused" not in output.lower()
    batches = [
        [torch.load(tmp_path / "two" / f"batch-{s}-{r}.pt", weights_only=False) for r in (0, 1)] for s in range(STEPS)
    ]
    assert any(one.modality != two.modality for one, two in batches), "the ranks must draw for themselves"
    assert all(not set(one.keys) & set(two.keys) for one, two in batches)
    own = [own_gradients(backbones, batch) for batch in batches[0]]
    for rank in (0, 1):
        shared = torch.load(tmp_path / "two" / f"gradients-0-{rank}.pt")
        assert shared.keys() == own[0].keys()
        for name, gradient in shared.items():
            torch.testing.assert_close(gradient, (own[0][name] + own[1][name]) / 2, atol=1e-6, rtol=1e-4)
    validated = [torch.load(tmp_path / "two" / f"validation-{rank}.pt", weights_only=False) for rank in (0, 1)]
    assert sorted(validated[0]["keys"]) == ["green-right-0.mp4", "green-right-1.mp4", "white-right-0.mp4"]
    assert validated[0]["scores"] == validated[1]["scores"]
