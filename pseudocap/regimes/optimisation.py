"""Optimise what learns: AdamW (or SGD), a warm-up, a cosine or a line. Gates, norms and biases are never decayed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pseudocap.errors import ConfigError, nearest
from pseudocap.model.network import CaptionNetwork
from pseudocap.model.retrieval import RetrievalNetwork
from pseudocap.model.valor import ValorNetwork

METHODS = ("adamw", "sgd")
DECAYS = ("cosine", "linear")


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Optimisation:
    """Set the optimiser and its schedule. Without weight decay AdamW is the papers' Adam.

    Args:
        lr: the highest learning rate; the papers go up to 7e-3 with vector gates, and scalar gates diverge above 1e-3
        beta1: how long the mean of the gradients remembers; of sgd the momentum
        beta2: how long their size is remembered; 0.95 is steadier early, past 10,000 steps 0.999 generalises better
        eps: keeps the step finite where gradients vanish
        weight_decay: of matrices only
        warmup_steps: optimiser steps from 0 up to lr
        final_share: what is left of lr at the end of the cosine
        method: adamw, or sgd with momentum
        decay: how lr falls after the warm-up: cosine, or linear
        warmup_share: of all steps, in place of warmup_steps
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 100
    final_share: float = 0.0
    method: str = "adamw"
    decay: str = "cosine"
    warmup_share: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ConfigError(f"optimisation.lr must be above 0, or nothing is learned, not {self.lr!r}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"optimisation.{name} must be from 0 to below 1, not {getattr(self, name)!r}")
        for name in ("eps", "weight_decay", "warmup_steps"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"optimisation.{name} must be 0 or more, not {getattr(self, name)!r}")
        if self.method not in METHODS:
            offer = nearest(str(self.method), METHODS)
            raise ConfigError(f"optimisation.method must be one of {', '.join(METHODS)}, not {self.method!r}{offer}")
        if self.decay not in DECAYS:
            offer = nearest(str(self.decay), DECAYS)
            raise ConfigError(f"optimisation.decay must be one of {', '.join(DECAYS)}, not {self.decay!r}{offer}")
        if self.warmup_share is not None and not 0 <= self.warmup_share < 1:
            raise ConfigError(f"optimisation.warmup_share must be from 0 to below 1, not {self.warmup_share!r}")
        if not 0 <= self.final_share <= 1:
            raise ConfigError(f"optimisation.final_share must be from 0 to 1, not {self.final_share!r}")

    def share(self, step: int, steps: int) -> float:
        """Return the share of lr at an optimiser step (from 0) of so many: up in a line, down as `decay` says."""
        warmup = self.warmup_steps if self.warmup_share is None else round(self.warmup_share * steps)
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        left = 1 - done if self.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final_share + (1 - self.final_share) * left


def build_optimiser(
    model: CaptionNetwork | RetrievalNetwork | ValorNetwork, settings: Optimisation, *, mixed: bool = False
) -> torch.optim.Optimizer:
    """Build one group that decays, the matrices, and one that does not. `mixed` is a run in mixed precision.

    There AdamW is not fused: the fused one unscales gradients itself, after they should have been clipped.
    """
    declared = model.trainable_names
    learning = [(name, p) for name, p in model.named_parameters() if name in declared]
    matrices = [p for name, p in learning if p.dim() > 1]
    others = [p for name, p in learning if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.method == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.beta1)
    fused = not mixed and model.device.type in ("cuda", "cpu")
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=fused
    )


def use_settings(checkpoint: Mapping[str, Any], settings: Optimisation) -> None:
    """Give the optimiser of a checkpoint the settings of the run that resumes: PyTorch would restore the former ones,
    and a lower rate would do nothing. Those that did not change leave it as it is."""
    for optimiser in checkpoint.get("optimizer_states", ()):
        for group, decay in zip(optimiser["param_groups"], (settings.weight_decay, 0.0), strict=True):
            if group["initial_lr"] != settings.lr:
                group["lr"] *= settings.lr / group["initial_lr"]
            group |= {"initial_lr": settings.lr, "weight_decay": decay}
            if settings.method == "sgd":
                group["momentum"] = settings.beta1
            else:
                group |= {"betas": (settings.beta1, settings.beta2), "eps": settings.eps}
    for schedule in checkpoint.get("lr_schedulers", ()):
        schedule["base_lrs"] = [settings.lr] * len(schedule["base_lrs"])
