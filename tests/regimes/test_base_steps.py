"""The wiring of a step under a real Trainer: rates, moments, decay, clipping, and when which loss is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.running import streams, trainer
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.regimes import FineTune, VideoOnly
from pseudocap.regimes.finetune_run import fine_tune
from pseudocap.regimes.losses import Denoising, Losses, Noise, Objective
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]
Weights = dict[str, torch.Tensor]
SETTINGS = Optimisation(lr=0.02, beta1=0.7, beta2=0.9, eps=1e-3, weight_decay=0.5, warmup_steps=2, final_share=0.25)
RATES = [0.01, 0.02, 0.02, 0.01625, 0.00875]  # of five steps: up in a line, then down in half a cosine to a quarter


class Steps(Callback):
    """The gradients of each optimiser step, as they come, and the weights after it."""

    def __init__(self, enlarge: float = 1.0) -> None:
        self.enlarge, self.gradients, self.weights = enlarge, list[Weights](), list[Weights]()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.weights = [weights_of(pl_module.model)]

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        found = {name: p.grad for name, p in pl_module.model.named_parameters() if p.grad is not None}
        for gradient in found.values():
            gradient.mul_(self.enlarge)
        self.gradients.append({name: gradient.clone() for name, gradient in found.items()})

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if trainer.global_step >= len(self.weights):
            self.weights.append(weights_of(pl_module.model))


def weights_of(model: PseudoCap) -> Weights:
    return {name: p.detach().clone() for name, p in model.named_parameters() if name in model.trainable_names}


@pytest.mark.parametrize("method", ["adamw", "sgd"])
def test_weights_move_as_the_papers_optimiser_written_by_hand_moves_them(
    method: str, build: Build, tars: Path, tmp_path: Path
) -> None:
    """Every setting reaches every step, also where a step is of two batches."""
    steps, s = Steps(), replace(SETTINGS, method=method)
    run = trainer(tmp_path, steps, max_steps=5, accumulate_grad_batches=2)
    run.fit(VideoOnly(build(), optimisation=s), streams(tars, "video"))
    assert len(steps.gradients) == 5
    for name, weights in steps.weights[0].items():
        mean = square = torch.zeros_like(weights)
        decay = s.weight_decay if weights.dim() > 1 else 0.0
        for step, (rate, gradients) in enumerate(zip(RATES, steps.gradients, strict=True), 1):
            gradient = gradients[name]
            if method == "sgd":
                mean = s.beta1 * mean + gradient + decay * weights
                weights = weights - rate * mean
            else:
                mean = s.beta1 * mean + (1 - s.beta1) * gradient
                square = s.beta2 * square + (1 - s.beta2) * gradient**2
                size = (square / (1 - s.beta2**step)).sqrt() + s.eps
                weights = weights * (1 - rate * decay) - rate * mean / (1 - s.beta1**step) / size
            torch.testing.assert_close(steps.weights[step][name], weights, rtol=2e-4, atol=2e-6, msg=f"{name} {step}")


def test_fine_tuning_clips_the_norm_of_all_gradients_at_one(build: Build, world: Path, tmp_path: Path) -> None:
    steps = Steps(enlarge=1e3)
    plain = Optimisation(method="sgd", lr=0.01, beta1=0.0, warmup_steps=0, final_share=1.0)
    module = FineTune(build(), optimisation=plain)
    data = CaptionData(world / "captions.jsonl", batch_size=3, workers=0)
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    fine_tune(module, data, tmp_path, max_epochs=1, callbacks=[steps], **quiet)
    assert steps.gradients
    for before, after, gradients in zip(steps.weights[:-1], steps.weights[1:], steps.gradients, strict=True):
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values()))
        assert norm > 1
        for name, gradient in gradients.items():
            torch.testing.assert_close(before[name] - after[name], 0.01 * gradient / norm, rtol=1e-3, atol=1e-6)


def test_the_objective_reaches_each_step_and_waits_for_the_optimiser_not_for_batches(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    class Recording(VideoOnly):
        found: list[tuple[int, Losses]]

        def log_losses(self, losses: Losses, batch: Batch) -> None:
            assert self.tokens_of(batch).input_ids.shape[1] == 5, "longer captions are cut"
            self.found.append((self.global_step, losses))
            super().log_losses(losses, batch)

    denoising = Denoising(noise=Noise(mask=0.9), warmup=1, delta=1.0, weight=0.5)
    objective = Objective(denoising=denoising, gate_entropy=0.25, max_tokens=5)
    module = Recording(build(fusion="convex"), objective=objective, optimisation=replace(SETTINGS, lr=1e-3))
    module.found = []
    trainer(tmp_path, max_steps=4, accumulate_grad_batches=2).fit(module, streams(tars, "video"))
    assert [step for step, _ in module.found] == [0, 0, 1, 1, 2, 2, 3, 3]
    for step, losses in module.found:
        expected = float(losses.parts["caption"]) + 0.25 * float(losses.parts["gate_entropy"])
        assert ("denoising" in losses.parts) == (step > 1)
        if step > 1:
            assert float(losses.parts["denoising"]) > 0
            expected += 0.5 * (1 - math.exp(-step)) * float(losses.parts["denoising"])
        assert float(losses.total) == pytest.approx(expected, rel=1e-6)
