"""Guard a long run: stop at a loss that is no number or explodes; leave out a spike.

The two callbacks judge the optimiser's step before it is taken, by the worst loss of its batches on any rank, so that
all ranks do the same and nothing bad reaches the weights.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections import deque
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import distributed
from torch.optim import Optimizer

from pseudocap.errors import ConfigError, TrainingError
from pseudocap.types import Batch

BAD_LOSS = "the loss at step"  # how the message of a run that was stopped here begins
_log = logging.getLogger(__name__)


class _JudgesSteps(Callback):
    """Gather the losses and the keys of one optimiser step, and hand its worst loss to `judge`."""

    def __init__(self) -> None:
        self._losses: list[torch.Tensor] = []
        self._keys: list[str] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self._keys += batch.keys

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: torch.Tensor
    ) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)  # of float16, whose losses Lightning has enlarged
        scale = 1.0 if scaler is None else scaler.get_scale()
        self._losses.append(loss.detach() * (trainer.accumulate_grad_batches / scale))  # Lightning has divided it

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        worst = torch.stack(self._losses).float().nan_to_num(nan=math.inf).max()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(worst, op=distributed.ReduceOp.MAX)
        keys, self._losses, self._keys = self._keys, [], []
        self.judge(trainer, optimizer, float(worst), keys)

    def judge(self, trainer: lightning.Trainer, optimizer: Optimizer, worst: float, keys: list[str]) -> None:
        raise NotImplementedError


class StopOnBadLoss(_JudgesSteps):
    """End a run whose loss is NaN, infinite or above a limit, and name the step, the batch and the last checkpoint.

    Args:
        limit: a loss above it is an explosion; an untrained captioner starts near log(vocabulary), 10.8 for OPT
    """

    def __init__(self, limit: float = 100.0) -> None:
        super().__init__()
        if not limit > 0:
            raise ConfigError(f"StopOnBadLoss.limit must be above 0, not {limit!r}")
        self.limit = limit

    def judge(self, trainer: lightning.Trainer, optimizer: Optimizer, worst: float, keys: list[str]) -> None:
        if worst <= self.limit:
            return
        what = "no finite number" if math.isinf(worst) else f"{worst:.4g}, above {self.limit:g}"
        listed = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        raise TrainingError(
            f"{BAD_LOSS} {trainer.global_step} is {what}; its batch on this rank: {listed}; {_way_out(trainer)}"
        )


def _way_out(trainer: lightning.Trainer) -> str:
    """Suggest to go on from the last checkpoint, or from the beginning, with calmer settings."""
    paths = [
        str(path)
        for callback in trainer.checkpoint_callbacks
        for name in ("last_model_path", "best_model_path")
        if (path := getattr(callback, name, ""))
    ]
    calmer = "with a lower learning rate (`pseudocap train --model.optimisation.lr`, or its beta2 at 0.95"
    if not paths:
        return f"no checkpoint was saved yet: start again {calmer}; `pseudocap finetune --lr`)"
    return (
        f"the last good checkpoint: {paths[0]}; go on from there {calmer}, with --resume; `pseudocap finetune` keeps "
        "its rate at a resume: give --lr and another --out)"
    )


class SkipLossSpikes(_JudgesSteps):
    """Leave out an optimiser step whose loss stands far above the recent ones, and log it.

    Args:
        factor: how many times the median of the recent losses is a spike
        window: how many recent losses the median is of; nothing is skipped before there are as many
        patience: so many steps skipped in a row are no spike any more, and end the run
    """

    def __init__(self, factor: float = 3.0, window: int = 50, patience: int = 20) -> None:
        super().__init__()
        if not factor > 1 or window < 1 or patience < 1:
            raise ConfigError(
                "SkipLossSpikes needs factor above 1, window and patience from 1 on, not "
                f"{factor!r}, {window!r} and {patience!r}"
            )
        self.factor, self.patience, self.skipped, self.in_a_row = factor, patience, 0, 0
        self._recent: deque[float] = deque(maxlen=window)

    def judge(self, trainer: lightning.Trainer, optimizer: Optimizer, worst: float, keys: list[str]) -> None:
        full = len(self._recent) == self._recent.maxlen
        if not full or worst <= self.factor * statistics.median(self._recent):
            self._recent.append(worst)
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        median = statistics.median(self._recent)
        if self.in_a_row > self.patience:
            raise TrainingError(
                f"{BAD_LOSS} {trainer.global_step} is {worst:.4g}, and the {self.patience} steps before it were "
                f"skipped already, for the median before them was {median:.4g}: this is no spike, and nothing is "
                f"learned; {_way_out(trainer)}"
            )
        _log.warning("step %d is skipped: its loss is %.4g, the recent median %.4g", trainer.global_step, worst, median)
        optimizer.zero_grad(set_to_none=True)  # a parameter without a gradient is left alone, its moments too

    def state_dict(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._recent.extend(state_dict["recent"])
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict.get("in_a_row", 0)
