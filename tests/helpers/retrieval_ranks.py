"""One process of a retrieval run on two ranks: `python retrieval_ranks.py BACKBONES MEMORIES OUT`; saves what each rank
learned from its half of the same videos that `learn` learns from on one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from helpers.retrievers import build_retriever
from pseudocap.data.collate import collate
from pseudocap.data.memories.source import MemorySource
from pseudocap.model.retrieval_config import SIMILARITIES
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
    out.mkdir(parents=True, exist_ok=True)
    model = build_retriever(backbones, num_frames=4, dropout=0.0, similarity=similarity)
    module = Retrieval(model, contrast=Contrast(mask=0.0, intra=0.3))
    keep = Keep()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=1,
        default_root_dir=out,
        logger=False,
        callbacks=[keep],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    mine = batches(memories, trainer.global_rank, devices)
    loader: DataLoader[Batch] = DataLoader(mine, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(module, loader, loader)
    learned = {**keep.kept, "scores": dict(module.scores or {})}
    torch.save(learned, out / f"{similarity}-{devices}-{trainer.global_rank}.pt")


def main() -> None:
    torch.set_num_threads(1)
    for similarity in SIMILARITIES:
        learn(*map(Path, sys.argv[1:4]), devices=2, similarity=similarity)


if __name__ == "__main__":
    main()
