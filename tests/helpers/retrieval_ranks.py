"""One process of a retrieval run on two ranks: `python retrieval_ranks.py BACKBONES MEMORIES OUT`; saves what each rank
learned from its half of the same videos that `learn` learns from on one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from helpers.retrievers import build_retriever
from helpers.running import trainer
from pseudocap.data.collate import collate
from pseudocap.data.memories.source import MemorySource
from pseudocap.model.retrieval_config import SIMILARITIES
from pseudocap.regimes.base import Learner
from pseudocap.regimes.retrieval import Retrieval
from pseudocap.regimes.retrieval_losses import Contrast
from pseudocap.types import Batch


class Keep(Callback):
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
        self.kept["loss"] = float(loss.detach())

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        gradients = {name: p.grad.clone() for name, p in pl_module.model.named_parameters() if p.grad is not None}
        self.kept["gradients"] = gradients


def batches(memories: Path, rank: int, ranks: int) -> list[Batch]:
    """This rank's part of one batch of all videos, each with its first caption: of different lengths."""
    source = MemorySource(memories)
    each = len(source.rows) // ranks
    samples = [source.sample(number, None) for number in range(rank * each, (rank + 1) * each)]
    return [collate(samples, [sample.captions[0] for sample in samples], step=0)]


def learn(backbones: Path, memories: Path, out: Path, devices: int, similarity: str) -> None:
    model = build_retriever(backbones, num_frames=4, dropout=0.0, similarity=similarity)
    module = Retrieval(model, contrast=Contrast(mask=0.0, intra=0.3))
    fit_one_step(module, functools.partial(batches, memories), out, devices, similarity)


def fit_one_step(
    module: Learner, batches: Callable[[int, int], list[Batch]], out: Path, devices: int, run: str
) -> None:
    """Learn from this rank's batches, of a rank and the number of ranks, and save what the rank learned."""
    out.mkdir(parents=True, exist_ok=True)
    keep = Keep()
    ranks: dict[str, Any] = {"devices": devices, "strategy": "ddp" if devices > 1 else "auto"}
    fitting = trainer(out, keep, max_steps=1, logger=False, use_distributed_sampler=False, **ranks)
    loader: DataLoader[Batch] = DataLoader(batches(fitting.global_rank, devices), batch_size=None)  # type: ignore[arg-type]
    fitting.fit(module, loader, loader)
    torch.save({**keep.kept, "scores": dict(module.scores or {})}, out / f"{run}-{devices}-{fitting.global_rank}.pt")


def main() -> None:
    torch.set_num_threads(1)
    for similarity in SIMILARITIES:
        learn(*map(Path, sys.argv[1:4]), devices=2, similarity=similarity)


if __name__ == "__main__":
    main()
