"""Report a training's progress on stderr: Lightning's bar where it is a terminal, elsewhere a line for every tenth."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback, ProgressBar, RichProgressBar

from pseudocap.cli.progress import progress_of


class TrainingBar(RichProgressBar):
    """Draw Lightning's bar on stderr: its own prints on stdout, and "Epoch 0/-2" where steps end a run, not epochs."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def _get_train_description(self, current_epoch: int) -> str:
        text: str = super()._get_train_description(current_epoch)
        return text.replace("/-2", "")


class TrainingLines(Callback):
    def __init__(self) -> None:
        self._open = ExitStack()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._draw = self._open.enter_context(progress_of("training", "steps"))

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        total = trainer.estimated_stepping_batches
        if trainer.is_global_zero and total != float("inf"):
            self._draw(trainer.global_step, int(total))

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._open.close()


def training_progress() -> ProgressBar | TrainingLines:
    """Return the callback: a bar is a `ProgressBar` to Lightning; lines go with `enable_progress_bar=False`."""
    return TrainingBar() if sys.stderr.isatty() else TrainingLines()
