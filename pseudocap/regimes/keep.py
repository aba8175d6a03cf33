"""Keeping captioners while they learn: directories that `PseudoCap.from_pretrained` loads."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback

from pseudocap.regimes.base import Regime


class KeepCaptioner(Callback):
    """Saves the captioner as `best` whenever validation finds it better than before, and as `last` at the end.

    Beside each lies `results.json`: the scores, the step and the data that they are of.

    Args:
        folder: where both directories are written; by default that of the run's logs
        monitor: the figure that must rise
    """

    def __init__(self, folder: str | None = None, monitor: str = "val/CIDEr-D") -> None:
        self.folder, self.monitor = folder, monitor
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
        if not trainer.is_global_zero or not isinstance(module, Regime):
            return
        target = self.where(trainer, name)
        module.model.save_pretrained(target)
        data = getattr(trainer, "datamodule", None)
        results = {
            "regime": type(module).__name__,
            "step": trainer.global_step,
            "scores": dict(module.scores or {}),
            "videos": module.scores.n if module.scores is not None else 0,
            "data": data.provenance() if data is not None and hasattr(data, "provenance") else None,
        }
        scratch = target / f".results.json.{os.getpid()}.part"
        scratch.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        scratch.replace(target / "results.json")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
