"""Short runs under a real Trainer on the small world: what the tests of the regimes have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger

from pseudocap.data import StreamData
from pseudocap.regimes.checkpointing import Checkpoints
from pseudocap.regimes.optimisation import Optimisation

FAST = Optimisation(lr=3e-3, warmup_steps=2)


class Losses(Callback):
    """Every loss that was learned, by optimiser step."""

    def __init__(self) -> None:
        self.by_step: dict[int, float] = {}

    def on_before_backward(self, trainer: lightning.Trainer, pl_module: Any, loss: torch.Tensor) -> None:
        self.by_step[trainer.global_step] = float(loss.detach())


class StoppedError(Exception):
    pass


class Stop(Callback):
    """Ends the run in the middle, when this many steps are done."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.steps:
            raise StoppedError


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> lightning.Trainer:
    settings = {"accelerator": "cpu", "max_steps": 4, "enable_progress_bar": False, "enable_model_summary": False}
    settings |= {"num_sanity_val_steps": 0, "log_every_n_steps": 1, "default_root_dir": folder}
    settings |= {"logger": CSVLogger(folder), "enable_checkpointing": False}
    return lightning.Trainer(callbacks=list(callbacks), **{**settings, **options})


def streams(tars: Path, *kinds: str, **options: Any) -> StreamData:
    return StreamData(
        images=tars / "images" if "image" in kinds else None,
        videos=tars / "videos" if "video" in kinds else None,
        batch_size=2,
        image_batch_factor=2,
        workers=0,
        **{"epoch_steps": 100, **options},
    )


def saving(folder: Path) -> Checkpoints:
    return Checkpoints(dirpath=folder, every_n_train_steps=2, save_last=True)
