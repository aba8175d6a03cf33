"""Two ranks on gloo: gradients are the mean of the ranks' own, and every validation video is captioned once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ranks
from helpers.ranks import GROUPS, STEPS, build
from helpers.small_worlds import write_world
from helpers.sounding_world import write_sounding_world
from helpers.tars import image_tars, video_tars
from helpers.tiny_ast import write_ast

from pseudocap.regimes.modality_groups import checked_probabilities, draw_group
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


def run(backbones: Path, world: Path, out: Path, strategy: str, devices: int, *more: str) -> str:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, (backbones, world, out)), strategy, str(devices), *more]
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
    for step in range(STEPS):
        judged = [torch.load(tmp_path / "two" / f"judged-{step}-{rank}.pt", weights_only=False) for rank in (0, 1)]
        assert judged[0][1] != judged[1][1]
        assert {worst for worst, _ in judged} == {max(loss for _, loss in judged)}, "all ranks judge by the worst"
    validated = [torch.load(tmp_path / "two" / f"validation-{rank}.pt", weights_only=False) for rank in (0, 1)]
    assert sorted(validated[0]["keys"]) == ["green-right-0.mp4", "green-right-1.mp4", "white-right-0.mp4"]
    assert validated[0]["scores"] == validated[1]["scores"]


@pytest.mark.slow
def test_ranks_that_draw_other_modalities_average_their_gradients(backbones: Path, tmp_path: Path) -> None:
    ast, world = write_ast(tmp_path / "ast"), write_sounding_world(tmp_path / "world")
    output = run(backbones, world, tmp_path / "two", "ddp", 2, str(ast))
    assert "unused" not in output.lower()
    drawn = set()
    for step in range(STEPS):
        batches = [torch.load(tmp_path / "two" / f"batch-{step}-{r}.pt", weights_only=False) for r in (0, 1)]
        groups = [draw_group(checked_probabilities(GROUPS), seed=0, rank=rank, step=step) for rank in (0, 1)]
        drawn.add(tuple(sorted(groups)))
        if step:
            continue  # whose weights the ranks have learned
        own = []
        for batch, group in zip(batches, groups, strict=True):
            model = build(backbones, ast)
            tokens = model.tokenize(batch.captions)
            heard = {"sound": batch.sound, "sound_lengths": batch.sound_lengths}
            memory = model.encode(batch.frames, batch.frame_mask, **heard).only(group)
            model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
            own.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        for rank in (0, 1):
            shared = torch.load(tmp_path / "two" / f"gradients-0-{rank}.pt")
            assert shared.keys() == own[0].keys() == own[1].keys()
            for name, gradient in shared.items():
                torch.testing.assert_close(gradient, (own[0][name] + own[1][name]) / 2, atol=1e-6, rtol=1e-4)
    assert any(one != other for one, other in drawn), "the ranks must draw for themselves"
    validated = [torch.load(tmp_path / "two" / f"validation-{rank}.pt", weights_only=False) for rank in (0, 1)]
    assert validated[0]["by group"] == validated[1]["by group"]
    assert set(validated[0]["by group"]) == {"a"}
