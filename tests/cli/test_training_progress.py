"""The progress of a training: steps, loss, rate and time left, in the bar or the lines that every verb has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as lightning
import pytest
from helpers.running import FAST, trainer
from helpers.small_worlds import write_world

from pseudocap import PseudoCap
from pseudocap.cli import training_progress
from pseudocap.cli.training_progress import TrainingProgress
from pseudocap.data import CaptionData
from pseudocap.regimes import FineTune


def test_a_fit_shows_steps_loss_rate_and_time_left_and_a_validation_its_batches(
    build: Callable[..., PseudoCap],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_progress, "PATIENCE", 1e-9)  # as if it took long
    monkeypatch.setattr(training_progress, "EVERY", 0.0)
    world = write_world(tmp_path / "world")
    module, data = FineTune(build(), optimisation=FAST), CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
    run = trainer(tmp_path, TrainingProgress(), max_steps=-1, max_epochs=2)
    run.fit(module, data)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert len(lines) == 5, "the first step begins to wait"
    pattern = r"training: {} of 6 steps, loss [\d.]+(, CIDEr-D [\d.]+)?, [\d.]+ (steps/s|s/step), 0:00:\d\d left"
    assert all(re.fullmatch(pattern.format(step), line) for step, line in enumerate(lines, start=2)), lines
    assert "CIDEr-D" not in lines[0]
    assert "CIDEr-D" in lines[-1]
    logged = run.callback_metrics["train/loss"]
    assert f"loss {float(logged):.3g}," in lines[-1]
    lightning.Trainer(
        callbacks=[TrainingProgress()], logger=False, enable_progress_bar=False, accelerator="cpu"
    ).validate(module, CaptionData(world / "captions.jsonl", batch_size=1, workers=0), verbose=False)
    assert "validating: 2 of 2 batches" in capsys.readouterr().err
