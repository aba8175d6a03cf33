"""One process of a run on two ranks: `python ranks.py BACKBONES WORLD OUT STRATEGY DEVICES [AST]`; tells what each rank
was given and learned. With an AST the captioner hears, and learns by groups of modalities."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData, StreamData
from pseudocap.regimes import FineTune, Mixed
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.loss_guards import StopOnBadLoss
from pseudocap.regimes.optimisation import Optimisation

STEPS = 4
GROUPS = {"v": 0.4, "a": 0.4, "av": 0.2}


class Tell(Callback):
    """Saves, by rank and step, the batch, the averaged gradients, and what validation captioned."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        torch.save(batch, self.out / f"batch-{trainer.global_step}-{trainer.global_rank}.pt")

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        gradients = {name: p.grad for name, p in pl_module.model.named_parameters() if p.grad is not None}
        torch.save(gradients, self.out / f"gradients-{trainer.global_step}-{trainer.global_rank}.pt")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        result = {"keys": [each.key for each in pl_module.validation.captioned], "scores": dict(pl_module.scores or {})}
        result["by group"] = {group: dict(each) for group, each in pl_module.validation.group_scores.items()}
        torch.save(result, self.out / f"validation-{trainer.global_rank}.pt")


class Judging(StopOnBadLoss):
    """Saves, by rank and step, the worst loss that it judges by, and the rank's own."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out = out

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.own = float(self._losses[0])
        super().on_before_optimizer_step(trainer, pl_module, optimizer)

    def judge(self, trainer: Any, optimizer: Any, worst: float, keys: list[str]) -> None:
        torch.save((worst, self.own), self.out / f"judged-{trainer.global_step}-{trainer.global_rank}.pt")


def build(backbones: Path, ast: Path | None = None) -> PseudoCap:
    model = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    if ast is not None:
        model.add_sound(ast)
    return model


def heard(world: Path) -> CaptionData:
    return CaptionData(world / "captions.jsonl", batch_size=1, workers=0)


def data(world: Path) -> StreamData:
    return StreamData(
        images=world / "images",
        videos=world / "pseudolabels",
        batch_size=2,
        image_batch_factor=2,
        probabilities={"image": 0.5, "video": 0.5},
        workers=0,
        epoch_steps=STEPS,
        validation=CaptionData(world / "captions.jsonl", batch_size=1, workers=0),
    )


def main() -> None:
    torch.set_num_threads(1)
    backbones, world, out, strategy, devices = (*map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5]))
    ast = Path(sys.argv[6]) if sys.argv[6:] else None
    out.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"optimisation": Optimisation(lr=1e-3, warmup_steps=1)}
    if ast is not None:
        options |= {"modality_groups": GROUPS, "validation_groups": ["a"]}
    module = (Mixed if ast is None else FineTune)(build(backbones, ast), **options)
    lightning.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        max_steps=STEPS,
        default_root_dir=out,
        logger=False,
        callbacks=[Judging(out), KeepCaptioner(), Tell(out)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    ).fit(module, data(world) if ast is None else heard(world))


if __name__ == "__main__":
    main()
