"""Train what the shipped zoo is frozen around: its OPT, its TimeSformer, its AST, its teacher.

Adapters learn by Lightning and the regimes; these are made once, from nothing, and need only this. A batch is a
function of the step, so a killed run goes on where its last state was stored and ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pseudocap.files.atomic import unfinished
from pseudocap.model.loss import IGNORE
from pseudocap.model.text import side_by_side
from pseudocap.types import Progress

STATE_EVERY = 200  # steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """Set how long and how fast to learn: linear warm-up, then half a cosine down to nothing."""

    steps: int
    lr: float
    warmup: int = 100
    weight_decay: float = 0.05

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup)))


def learn(
    model: nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    course: Course,
    *,
    state: Path,
    progress: Progress | None = None,
) -> list[float]:
    """Take every step of the course and return its losses. `state` keeps the progress so far, and goes at the end."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=course.lr, betas=(0.9, 0.98), weight_decay=course.weight_decay)
    losses: list[float] = []
    if state.is_file():
        stored = torch.load(state, weights_only=True)
        model.load_state_dict(stored["model"])
        optimiser.load_state_dict(stored["optimiser"])
        losses = stored["losses"]
    model.train()
    for step in range(len(losses), course.steps):
        for group in optimiser.param_groups:
            group["lr"] = course.rate(step)
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        if (step + 1) % STATE_EVERY == 0:
            with unfinished(state) as scratch:
                torch.save(
                    {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "losses": losses}, scratch
                )
        if progress is not None:
            progress(step + 1, course.steps)
    model.eval()
    state.unlink(missing_ok=True)
    return losses


def text_loss(model: Any, rows: Sequence[Sequence[int]], pad: int, **inputs: torch.Tensor) -> torch.Tensor:
    """Return the loss of a language model of transformers on rows of ids."""
    ids, real = side_by_side(rows, pad)
    loss: torch.Tensor = model(
        input_ids=ids, attention_mask=real.long(), labels=ids.masked_fill(~real, IGNORE), **inputs
    ).loss
    return loss
