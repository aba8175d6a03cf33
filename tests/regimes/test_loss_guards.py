"""The guards of a run, in full and in mixed precision: a bad loss ends it or is left out, and reaches no weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.running import FAST, Losses, Stop, StoppedError, saving, streams, trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.errors import ConfigError, TrainingError
from pseudocap.regimes import FineTune, VideoOnly
from pseudocap.regimes.loss_guards import SkipLossSpikes, StopOnBadLoss
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]


def float16() -> MixedPrecision:
    """As `--trainer.precision 16-mixed`, which Lightning offers on a GPU alone; PyTorch's scaler runs on a CPU too."""
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler(device="cpu"))


def precision(name: str) -> dict[str, Any]:
    return {"plugins": [float16()]} if name == "16-mixed" else {"precision": name}


@pytest.mark.parametrize("name", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns_with_clipped_gradients_and_nearly_the_same_losses(
    name: str, build: Build, world: Path, tmp_path: Path
) -> None:
    runs = []
    for chosen in ("32-true", name):
        losses, guard = Losses(), StopOnBadLoss()
        module = FineTune(build(), optimisation=FAST)
        before = {key: weights.clone() for key, weights in module.model.adapter_state().items()}
        data = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
        run = trainer(tmp_path, guard, losses, max_steps=3, gradient_clip_val=1.0, **precision(chosen))
        run.fit(module, data)
        assert any(not torch.equal(weights, before[key]) for key, weights in module.model.adapter_state().items())
        scaler = getattr(run.precision_plugin, "scaler", None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        runs.append([loss / scale for loss in losses.by_step.values()])
    assert runs[1] == pytest.approx(runs[0], rel=0.02)


def test_a_loss_that_is_no_number_stops_the_run_before_it_reaches_the_weights(
    build: Build, world: Path, tmp_path: Path
) -> None:
    class Poisoned(FineTune):
        def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_index)
            return loss * float("nan") if self.global_step == 3 else loss

    model = build()
    run = trainer(tmp_path, StopOnBadLoss(), saving(tmp_path), enable_checkpointing=True, max_steps=9)
    with pytest.raises(TrainingError, match=r"step 3 is no finite number.*\.mp4.*last\.ckpt"):
        run.fit(Poisoned(model, optimisation=FAST), CaptionData(world / "captions.jsonl", batch_size=2, workers=0))
    assert run.global_step == 3
    assert all(bool(weights.isfinite().all()) for weights in model.adapter_state().values())


def test_an_exploded_loss_stops_the_run_and_names_step_batch_and_way_out(
    build: Build, world: Path, tmp_path: Path
) -> None:
    run = trainer(tmp_path, StopOnBadLoss(limit=0.1), max_steps=9)
    with pytest.raises(
        TrainingError, match=r"step 0 is .* above 0\.1; its batch on this rank: .*\.mp4.* start again with a lower"
    ):
        run.fit(FineTune(build()), CaptionData(world / "captions.jsonl", batch_size=2, workers=0))


def test_the_guard_sees_the_losses_of_batches_where_a_step_is_of_several(
    build: Build, world: Path, tmp_path: Path
) -> None:
    """Undivided, and the worst of them: the one that the second batch has, here."""

    class Found(FineTune):
        losses: list[float]

        def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_index) * (1 + 2 * (batch_index == 1))
            self.losses.append(float(loss.detach()))
            return loss

    module = Found(build())
    module.losses = []
    run = trainer(tmp_path, StopOnBadLoss(limit=8), max_steps=9, accumulate_grad_batches=2)
    with pytest.raises(TrainingError, match="step 0 is") as error:
        run.fit(module, CaptionData(world / "captions.jsonl", batch_size=2, workers=0))
    first, second = module.losses
    assert first < 8 < second
    assert f"is {second:.4g}, above 8" in str(error.value)


def test_fine_tuning_which_keeps_its_rate_is_advised_to_begin_in_another_folder(
    build: Build, world: Path, tmp_path: Path
) -> None:
    class Exploding(FineTune):
        def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
            return super().training_step(batch, batch_index) * (1e9 if self.global_step == 3 else 1)

    run = trainer(tmp_path, StopOnBadLoss(), saving(tmp_path), max_steps=9, enable_checkpointing=True)
    with pytest.raises(TrainingError, match=r"last\.ckpt; go on from there .*--resume; .*give --lr and another --out"):
        run.fit(Exploding(build()), CaptionData(world / "captions.jsonl", batch_size=2, workers=0))


@pytest.mark.parametrize("name", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_spike_is_skipped_and_leaves_weights_and_moments_alone(
    name: str, build: Build, world: Path, tmp_path: Path
) -> None:
    class Spike(Callback):
        """Makes one step's loss a hundred times as large, and looks at what that step did."""

        def __init__(self) -> None:
            self.before: dict[str, torch.Tensor] = {}

        def state(self, trainer: Any, pl_module: Any) -> dict[str, torch.Tensor]:
            moments = trainer.optimizers[0].state.values()
            kept = {f"moment {number}": state["exp_avg"].clone() for number, state in enumerate(moments)}
            return kept | {key: p.detach().clone() for key, p in pl_module.model.adapter_state().items()}

        def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
            if trainer.global_step == 5:
                self.before = self.state(trainer, pl_module)
                loss.data.mul_(100)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == 6:
                after = self.state(trainer, pl_module)
                assert after.keys() == self.before.keys()
                assert all(torch.equal(after[key], value) for key, value in self.before.items())

    guard, spike = SkipLossSpikes(factor=5, window=4), Spike()
    run = trainer(tmp_path, spike, guard, max_steps=8, gradient_clip_val=1.0, **precision(name))
    run.fit(FineTune(build(), optimisation=FAST), CaptionData(world / "captions.jsonl", batch_size=2, workers=0))
    assert (guard.skipped, run.global_step) == (1, 8)
    assert spike.before


def test_a_loss_that_rises_for_good_ends_the_run_instead_of_being_skipped_for_ever(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    class Rise(Callback):
        def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
            if trainer.global_step >= 4:
                loss.data.mul_(50)

    guard = SkipLossSpikes(factor=3, window=2, patience=3)
    run = trainer(tmp_path, Rise(), guard, max_steps=20)
    with pytest.raises(TrainingError, match="the 3 steps before it were skipped already"):
        run.fit(VideoOnly(build(), optimisation=FAST), streams(tars, "video"))
    assert run.global_step == 7
    with pytest.raises(ConfigError, match="patience from 1 on"):
        SkipLossSpikes(patience=0)


def test_a_resumed_run_knows_the_losses_before_and_counts_skips_in_a_row(
    build: Build, world: Path, tmp_path: Path
) -> None:
    class Spikes(Callback):
        def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
            if trainer.global_step in (4, 6, 8):
                loss.data.mul_(50)

    def fit(*more: Callback, **options: Any) -> SkipLossSpikes:
        guard = SkipLossSpikes(factor=5, window=3, patience=1)
        data = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
        run = trainer(tmp_path, Spikes(), guard, saving(tmp_path), *more, max_steps=10, enable_checkpointing=True)
        run.fit(FineTune(build(), optimisation=FAST), data, **options)
        return guard

    with pytest.raises(StoppedError):
        fit(Stop(4))
    resumed = fit(ckpt_path=str(tmp_path / "last.ckpt"))
    assert (resumed.skipped, resumed.in_a_row) == (3, 0), "no two of them follow each other"
    taken = SkipLossSpikes(window=3)
    taken.load_state_dict({**resumed.state_dict(), "in_a_row": 2})
    assert taken.state_dict() == {**resumed.state_dict(), "in_a_row": 2}
