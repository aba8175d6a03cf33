"""A signal ends a training after the step in progress, with a checkpoint; a second one at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.running import FAST, Losses, saving, streams, trainer
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.errors import Interrupted
from pseudocap.regimes import VideoOnly
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.interruption import ctrl_c_as_usual

Build = Callable[..., PseudoCap]


class Sends(Callback):
    """Sends signals to this process at a step, once, in the hook that is named."""

    def __init__(self, hook: str, step: int, *signals: int) -> None:
        self.step, self.signals = step, list(signals)
        setattr(self, hook, self.send)

    def send(self, trainer: Any, *_: Any) -> None:
        while trainer.global_step == self.step and self.signals:
            os.kill(os.getpid(), self.signals.pop())


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handle Ctrl-C as a shell's job does, and fail a test that leaves another handler behind."""
    before = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)]
    yield
    left = [signal.signal(signal.SIGINT, before[0]), signal.signal(signal.SIGTERM, before[1])]
    assert left == [signal.default_int_handler, signal.SIG_DFL]


def fit(build: Build, tars: Path, folder: Path, *callbacks: Callback, data: Any = None, **options: Any) -> VideoOnly:
    module = VideoOnly(build(), optimisation=FAST)
    checkpoint = options.pop("ckpt_path", None)
    run = trainer(folder, *callbacks, saving(folder), enable_checkpointing=True, max_steps=6, **options)
    with ctrl_c_as_usual():
        run.fit(module, data or streams(tars, "video"), ckpt_path=checkpoint)
    return module


def step_of(folder: Path) -> int:
    return int(torch.load(folder / "last.ckpt", weights_only=False)["global_step"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_step_and_the_run_goes_on_to_the_same_weights(
    number: int, build: Build, tars: Path, tmp_path: Path
) -> None:
    whole, rest = Losses(), Losses()
    complete = fit(build, tars, tmp_path / "whole", whole)
    with pytest.raises(Interrupted, match=r"after step 3, which .*last\.ckpt holds") as stop:
        fit(build, tars, tmp_path, Sends("on_train_batch_start", 2, number))
    assert (stop.value.signal, step_of(tmp_path)) == (number, 3)
    resumed = fit(build, tars, tmp_path, rest, ckpt_path=str(tmp_path / "last.ckpt"))
    assert rest.by_step == {step: loss for step, loss in whole.by_step.items() if step >= 3}
    for name, weights in complete.model.adapter_state().items():
        assert torch.equal(weights, resumed.model.adapter_state()[name]), name


def test_a_second_signal_ends_a_run_at_once_at_the_checkpoint_before(build: Build, tars: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="stopped at once"):
        fit(build, tars, tmp_path, Sends("on_train_batch_start", 3, signal.SIGINT, signal.SIGINT))
    assert step_of(tmp_path) == 2


def test_a_signal_waits_for_the_gradients_that_are_being_accumulated(build: Build, tars: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="after step 2"):
        fit(build, tars, tmp_path, Sends("on_train_batch_start", 1, signal.SIGINT), accumulate_grad_batches=3)
    assert step_of(tmp_path) == 2


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_start"])
def test_a_signal_waits_for_the_validation_that_follows_the_step(
    hook: str, build: Build, world: Path, tars: Path, tmp_path: Path
) -> None:
    """So that the run that goes on has neither to repeat it nor to do without it."""
    validation = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
    data = streams(tars, "video", epoch_steps=3, validation=validation)
    sends = Sends(hook, 2 if hook == "on_train_batch_start" else 3, signal.SIGTERM)
    with pytest.raises(Interrupted, match="after step 3"):
        fit(build, tars, tmp_path, sends, data=data)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert saved["global_step"] == 3
    assert saved["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]["processed"] > 0


def test_a_run_that_was_stopped_at_its_last_step_has_the_last_captioner_when_it_goes_on(
    build: Build, tars: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="after step 6"):
        fit(build, tars, tmp_path, KeepCaptioner(str(tmp_path)), Sends("on_train_batch_start", 5, signal.SIGTERM))
    assert not (tmp_path / "last").exists()
    resumed = fit(build, tars, tmp_path, KeepCaptioner(str(tmp_path)), ckpt_path=str(tmp_path / "last.ckpt"))
    saved = PseudoCap.from_pretrained(tmp_path / "last", device="cpu").adapter_state()
    for name, weights in resumed.model.adapter_state().items():
        assert torch.equal(weights, saved[name]), name
