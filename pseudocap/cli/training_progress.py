"""Report a training's progress on stderr: steps, loss, rate and time left, in the bar that all verbs have."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from pseudocap.cli.progress import PATIENCE, Display, stages_of

EVERY = 0.1  # seconds between two drawings, each of which waits for the step's loss
METRICS = {"train/loss_bar": "loss", "train/reward": "reward", "val/CIDEr-D": "CIDEr-D"}


class TrainingProgress(Callback):
    """Draw the steps of a fit, with its validations as a note; draw a validation by itself as one of its own."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._display: Display | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._begin(trainer, "training", "steps")
        total = trainer.estimated_stepping_batches
        self._total = int(total) if total != float("inf") else 0
        self._first, self._begun, self._validating, self._drawn = trainer.global_step, time.monotonic(), 0.0, 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        now = time.monotonic()
        if self._display is not None and (now - self._drawn >= EVERY or trainer.global_step == self._total):
            self._drawn = now
            self._display.draw("", trainer.global_step, self._total, self._note(trainer, now))

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._since = time.monotonic()
        if trainer.state.fn != TrainerFn.FITTING:
            self._begin(trainer, "validating", "batches")

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if self._display is None or trainer.sanity_checking:
            return
        done, batches = batch_idx + 1, int(sum(trainer.num_val_batches))
        if trainer.state.fn == TrainerFn.FITTING:
            self._display.draw("", trainer.global_step, self._total, f"validating {done} of {batches} batches")
        else:
            self._display.draw("", done, batches)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self._end()
        elif self._display is not None:
            now = time.monotonic()
            self._validating += now - self._since
            self._display.draw("", trainer.global_step, self._total, self._note(trainer, now))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._end()

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: Any) -> None:
        self._end()

    def _begin(self, trainer: lightning.Trainer, doing: str, noun: str) -> None:
        if trainer.is_global_zero:
            self._display = self._open.enter_context(stages_of(doing, noun, patience=PATIENCE))

    def _end(self) -> None:
        self._display = None
        self._open.close()

    def _note(self, trainer: lightning.Trainer, now: float) -> str:
        """Return the metrics, the rate without the time of validations, and the time left with theirs."""
        known = trainer.progress_bar_metrics
        parts = [f"{label} {float(known[name]):.3g}" for name, label in METRICS.items() if name in known]
        steps, elapsed = trainer.global_step - self._first, now - self._begun
        if steps > 0 and elapsed > self._validating:
            rate = steps / (elapsed - self._validating)
            parts.append(f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / rate:.1f} s/step")
            if self._total and not sys.stderr.isatty():  # where a bar estimates it itself
                left = elapsed / steps * max(0, self._total - trainer.global_step)
                parts.append(f"{timedelta(seconds=round(left))} left")
        return ", ".join(parts)
