"""Keeping what was learned: captioners that `PseudoCap.from_pretrained` loads, and whole training checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pseudocap.errors import CheckpointError, first_line
from pseudocap.metrics.measures import measure
from pseudocap.metrics.resample import intervals
from pseudocap.regimes.base import Regime

SAMPLES = 1000  # resampled sets of videos, of which the intervals are


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a training checkpoint beside its target and renames it; what goes wrong is one clear error.

    Lightning's own is whole or absent too, but is held in memory a second time while it is written, and a full disk
    ends in a traceback.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        target = Path(path)
        scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
        except (OSError, RuntimeError) as error:  # torch tells a full disk as a RuntimeError
            scratch.unlink(missing_ok=True)
            raise CheckpointError(
                f"{target} could not be written: {first_line(error)}; the checkpoints before it are whole: make room "
                "and go on from there (--resume)"
            ) from error


class KeepCaptioner(Callback):
    """Saves the captioner as `best` whenever validation finds it better than before, and as `last` at the end.

    Beside each lies `results.json`: the scores, the step and the data that they are of.

    Args:
        folder: where both directories are written; by default that of the run's logs
        monitor: the figure that must rise
        command: what was run, for the results
    """

    def __init__(self, folder: str | None = None, monitor: str = "val/CIDEr-D", command: str | None = None) -> None:
        self.folder, self.monitor, self.command = folder, monitor, command
        self.best = -math.inf

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics.get(self.monitor, -math.inf))
        if value > self.best:
            self.best = value
            self._save(trainer, pl_module, "best")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._save(trainer, pl_module, "last")

    def where(self, trainer: lightning.Trainer, name: str) -> Path:
        return Path(self.folder or trainer.log_dir or trainer.default_root_dir) / name

    def _save(self, trainer: lightning.Trainer, module: lightning.LightningModule, name: str) -> None:
        target = self.where(trainer, name)  # which all ranks must ask
        if not trainer.is_global_zero or not isinstance(module, Regime):
            return
        data = getattr(trainer, "datamodule", None)
        known = data.provenance() if data is not None and hasattr(data, "provenance") else None
        results = results_of(module, step=trainer.global_step, data=known, command=self.command)
        module.model.save_pretrained(target, results=results)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def results_of(
    module: Regime, *, step: int, data: Mapping[str, Any] | None, command: str | None = None
) -> dict[str, Any]:
    """What is known of a captioner, as results.json and its page have it: how it learned, how it scores, on what.

    Videos that could not be watched are counted, not named: their names are nobody else's business.
    """
    scores = module.scores
    found = (
        []
        if scores is None
        else intervals([(measure(each), rows) for each, rows in scores.rows.items()], samples=SAMPLES, seed=0)
    )
    origin = module.model.origin
    known = dict(data or {})
    if "coverage" in known:
        known["coverage"] = {
            name: {key: part[key] for key in ("videos", "present")} for name, part in known["coverage"].items()
        }
    return {
        "regime": type(module).__name__,
        "step": step,
        "started_from": None if origin is None else origin.public_name,
        "split": "val",
        "scores": dict(scores or {}),
        "intervals": {}
        if scores is None
        else {name: [each.low, each.high] for name, each in zip(scores.rows, found, strict=True)},
        "videos": 0 if scores is None else scores.n,
        "data": known or None,
        "command": command,
    }
