"""What a run leaves: checkpoints that are gone on from exactly, captioners whose results say what they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from helpers.running import FAST, Losses, Stop, StoppedError, saving, streams, trainer
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.regimes import VideoOnly
from pseudocap.regimes.checkpointing import RESULTS, AtomicCheckpoints, Checkpoints, KeepCaptioner, save_captioner
from pseudocap.regimes.validation import CaptionValidation

Build = Callable[..., PseudoCap]
CIDER = "CIDEr-D"


class Graded(CaptionValidation):
    """Finds what a table says of the step, so that a test may choose when a captioner is good."""

    def __init__(self, module: VideoOnly, table: Mapping[int, float]) -> None:
        super().__init__(module.captions_of, examples=0)
        self.table = table

    def record(self, module: lightning.LightningModule, stage: str, scores: Any) -> None:
        scores[CIDER] = self.table.get(module.global_step, 0.0)
        super().record(module, stage, scores)


def graded(model: PseudoCap, table: Mapping[int, float]) -> VideoOnly:
    module = VideoOnly(model, optimisation=FAST)
    module.validation = Graded(module, table)
    return module


class Validations(Callback):
    """At which steps there was one; `dies_at` ends the run in the middle of one."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at, self.steps = dies_at, list[int]()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_step == self.dies_at:
            raise StoppedError
        self.steps.append(trainer.global_step)


class StopAtBatch(Callback):
    """Ends the run when this many batches have come, which need not be steps."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.left == 0:
            raise StoppedError
        self.left -= 1


def validated(world: Path, tars: Path, *, epoch_steps: int = 2) -> Any:
    validation = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
    return streams(tars, "video", epoch_steps=epoch_steps, validation=validation)


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("dies_at", [2, 4])
@pytest.mark.parametrize("interval", [{}, {"val_check_interval": 2}])
def test_a_run_that_ends_within_a_validation_has_it_when_it_goes_on(
    interval: dict[str, Any], dies_at: int, build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    """Also where validation comes within an epoch, and where it is the run's first."""
    steps = 6 if interval else 2
    first, rest = Validations(dies_at=dies_at), Validations()
    saver = Checkpoints(dirpath=tmp_path, every_n_train_steps=1, save_last=True)
    part = trainer(tmp_path, first, saver, enable_checkpointing=True, max_steps=6, **interval)
    with pytest.raises(StoppedError):
        part.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars, epoch_steps=steps))
    go_on = trainer(tmp_path, rest, max_steps=6, **interval)
    data = validated(world, tars, epoch_steps=steps)
    go_on.fit(VideoOnly(build(), optimisation=FAST), data, ckpt_path=str(tmp_path / "last.ckpt"))
    assert (first.steps, rest.steps) == ([2, 4, 6][: dies_at // 2 - 1], [2, 4, 6][dies_at // 2 - 1 :])
    assert go_on.global_step == 6


def test_a_run_that_ends_after_a_validation_does_not_have_it_twice(
    build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    first, rest = Validations(), Validations()
    part = trainer(tmp_path, first, saving(tmp_path), Stop(4), enable_checkpointing=True, max_steps=6)
    with pytest.raises(StoppedError):
        part.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars))
    go_on = trainer(tmp_path, rest, max_steps=6)
    go_on.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars), ckpt_path=str(tmp_path / "last.ckpt"))
    assert (first.steps, rest.steps) == ([2, 4], [6])


def test_a_checkpoint_at_an_epochs_end_is_written_where_nothing_validates(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    run = trainer(tmp_path, saving(tmp_path), Stop(4), enable_checkpointing=True, max_steps=6)
    with pytest.raises(StoppedError):
        run.fit(VideoOnly(build(), optimisation=FAST), streams(tars, "video", epoch_steps=2))
    assert torch.load(tmp_path / "last.ckpt", weights_only=False)["global_step"] == 4


def test_a_checkpoint_of_another_seed_can_be_scored_though_not_gone_on_with(
    build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    run = trainer(tmp_path, saving(tmp_path), enable_checkpointing=True, max_steps=2)
    run.fit(VideoOnly(build(), optimisation=FAST), streams(tars, "video"))
    other, last = VideoOnly(build(), seed=3), str(tmp_path / "last.ckpt")
    data = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
    trainer(tmp_path, accumulate_grad_batches=4).validate(other, data, ckpt_path=last, verbose=False)
    assert CIDER in (other.scores or {})
    with pytest.raises(ConfigError, match=r"had model\.seed 0 and this one has 3"):
        trainer(tmp_path).fit(other, streams(tars, "video"), ckpt_path=last)


def test_a_resumed_run_keeps_the_best_captioner_against_a_worse_one(
    build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    """Also one that was kept after the checkpoint that is gone on from."""
    saver = Checkpoints(dirpath=tmp_path, every_n_train_steps=3, save_last=True)
    part = trainer(tmp_path, KeepCaptioner(str(tmp_path)), saver, Stop(5), enable_checkpointing=True, max_steps=6)
    with pytest.raises(StoppedError):
        part.fit(graded(build(), {2: 10.0, 4: 50.0, 6: 30.0}), validated(world, tars))
    worse = {4: 20.0, 6: 30.0}  # as after a change of the validation's settings
    go_on = trainer(tmp_path, KeepCaptioner(str(tmp_path)), max_steps=6)
    go_on.fit(graded(build(), worse), validated(world, tars), ckpt_path=str(tmp_path / "last.ckpt"))
    kept = results(tmp_path / "best")
    assert (kept["step"], kept["scores_step"], kept["scores"][CIDER]) == (4, 4, 50.0)


def test_accumulated_gradients_are_not_lost_over_two_resumes(build: Build, tars: Path, tmp_path: Path) -> None:
    def fit(folder: str, *callbacks: Callback, resume: bool = False) -> VideoOnly:
        module = VideoOnly(build(), optimisation=FAST)
        run = trainer(tmp_path, *callbacks, enable_checkpointing=True, max_steps=6, accumulate_grad_batches=2)
        checkpoint = str(tmp_path / folder / "last.ckpt") if resume else None
        run.fit(module, streams(tars, "video"), ckpt_path=checkpoint)
        return module

    whole, rest = Losses(), Losses()
    complete = fit("whole", whole, saving(tmp_path / "whole"))
    for batches, resume in ((5, False), (1, True)):  # each time in the middle of an accumulation
        with pytest.raises(StoppedError):
            fit("part", saving(tmp_path / "part"), StopAtBatch(batches), resume=resume)
        assert torch.load(tmp_path / "part" / "last.ckpt", weights_only=False)["global_step"] == 2
    resumed = fit("part", rest, saving(tmp_path / "part"), resume=True)
    assert rest.by_step == {step: loss for step, loss in whole.by_step.items() if step >= 2}
    for name, weights in complete.model.adapter_state().items():
        assert torch.equal(weights, resumed.model.adapter_state()[name]), name


def test_the_last_captioner_has_the_scores_of_the_step_that_was_scored_and_names_what_it_was_scored_on(
    build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    run = trainer(tmp_path, KeepCaptioner(str(tmp_path)), max_steps=3)
    run.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars))
    last = results(tmp_path / "last")
    assert (last["step"], last["scores_step"], last["videos"]) == (3, 2, 2)
    assert last["data"]["validation"]["coverage"]["val"]["present"] == 2
    assert last["data"]["validation"]["corpus"] == "own"


def test_a_sanity_check_leaves_no_score(build: Build, world: Path, tars: Path, tmp_path: Path) -> None:
    run = trainer(tmp_path, KeepCaptioner(str(tmp_path)), max_steps=1, num_sanity_val_steps=1)
    run.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars, epoch_steps=100))
    last = results(tmp_path / "last")
    assert (last["scores"], last["scores_step"], last["videos"]) == ({}, None, 0)


def test_an_equal_score_is_no_better_one(build: Build, world: Path, tars: Path, tmp_path: Path) -> None:
    """Also one that float32, in which Lightning logs it, rounds up."""
    assert float(torch.tensor(12.345)) > 12.345
    keep = KeepCaptioner(str(tmp_path))
    keep.best = 12.345
    run = trainer(tmp_path, keep, max_steps=2)
    run.fit(graded(build(), {2: 12.345}), validated(world, tars))
    assert not (tmp_path / "best").exists()


def test_two_scores_can_be_kept_the_best_of(build: Build, world: Path, tars: Path, tmp_path: Path) -> None:
    keepers = [KeepCaptioner(str(tmp_path / name), f"val/{name}") for name in (CIDER, "BLEU-4")]
    run = trainer(tmp_path, *keepers, saving(tmp_path), enable_checkpointing=True, max_steps=2)
    run.fit(VideoOnly(build(), optimisation=FAST), validated(world, tars))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)["callbacks"]
    assert sum("KeepCaptioner" in name for name in saved) == 2


def test_what_a_killed_run_left_half_written_does_not_pile_up(build: Build, tars: Path, tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.part").write_bytes(b"half of one")
    run = trainer(tmp_path, saving(tmp_path), plugins=[AtomicCheckpoints()], enable_checkpointing=True, max_steps=2)
    run.fit(VideoOnly(build(), optimisation=FAST), streams(tars, "video"))
    assert not list(tmp_path.glob(".*.part"))
    with pytest.raises(ConfigError, match="at least 1 step between"):
        Checkpoints(dirpath=tmp_path, every_n_train_steps=0)


def test_a_save_that_fails_leaves_no_results_of_other_weights(build: Build, world: Path, tmp_path: Path) -> None:
    module = VideoOnly(build(), optimisation=FAST)
    target = tmp_path / "last"
    save_captioner(target, module, step=1, data=None)
    assert json.loads((target / RESULTS).read_text())["step"] == 1
    (target / "adapter_model.safetensors").unlink()
    (target / "adapter_model.safetensors").mkdir()  # which no file can replace
    with pytest.raises(CheckpointError, match="could not be written"):
        save_captioner(target, module, step=2, data=None)
    assert not (target / RESULTS).exists()
