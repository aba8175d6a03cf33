"""Fine-tuning from end to end: a run that was ended goes on as if it never had been, and reports what it found."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.running import FAST, Stop, StoppedError
from helpers.tiny_ast import write_ast
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.errors import Interrupted
from pseudocap.regimes import FineTune, finetune_run
from pseudocap.regimes.finetune_report import CIDER, FEW_VIDEOS, Tuned
from pseudocap.regimes.finetune_run import StopWithoutGain, fine_tune, largest_batch
from pseudocap.regimes.validation import CaptionValidation

Build = Callable[..., PseudoCap]


class Graded(CaptionValidation):
    """Scores CIDEr-D as a table has it for the step, so that a test may choose when a captioner is good."""

    def __init__(self, module: FineTune, table: dict[int, float]) -> None:
        super().__init__(module.captions_of, examples=1, loss=module.token_losses_of)
        self.table = table

    def record(self, module: Any, stage: str, scores: Any) -> None:
        scores[CIDER] = self.table.get(module.global_step, 0.0)
        super().record(module, stage, scores)


def tuned(
    build: Build,
    world: Path,
    out: Path,
    *callbacks: Callback,
    table: dict[int, float] | None = None,
    module: FineTune | None = None,
    **options: Any,
) -> Tuned:
    module = FineTune(build(), optimisation=FAST) if module is None else module
    if table is not None:
        module.validation = Graded(module, table)
    data = CaptionData(world / "captions.jsonl", batch_size=2, workers=0)
    settings: dict[str, Any] = {"max_epochs": 3, "accelerator": "cpu", "enable_progress_bar": False}
    settings |= {"enable_model_summary": False, "log_every_n_steps": 1, "callbacks": callbacks}
    return fine_tune(module, data, out, **{**settings, **options})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return PseudoCap.from_pretrained(folder, device="cpu").adapter_state()


def metrics(out: Path) -> dict[str, dict[str, str]]:
    """Return what was logged of each step, the latest where a step was taken twice, without the wall clock's."""
    found: dict[str, dict[str, str]] = {}
    for row in csv.DictReader((out / "metrics.csv").read_text().splitlines()):
        found.setdefault(row["step"], {}).update({name: value for name, value in row.items() if value})
    return found


@pytest.fixture(scope="module")
def complete(build_from: Build, backbones: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("complete")
    tuned(partial(build_from, backbones / "opt"), world, out, checkpoint_every=1)
    return out


@pytest.mark.parametrize("stops", [(1,), (2, 3), (4,), (5,)])
def test_a_run_that_was_ended_goes_on_to_the_same_weights_and_the_same_report(
    stops: tuple[int, ...], build: Build, world: Path, complete: Path, tmp_path: Path
) -> None:
    """Ended within an epoch, twice, at the end of an epoch."""
    for count, step in enumerate(stops):
        with pytest.raises(StoppedError):
            tuned(build, world, tmp_path, Stop(step), checkpoint_every=1, resume=count > 0)
    tuned(build, world, tmp_path, checkpoint_every=1, resume=True)
    for name in ("best", "last"):
        ours, theirs = weights(tmp_path / name), weights(complete / name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
        assert (tmp_path / name / "results.json").read_text() == (complete / name / "results.json").read_text()
    for name in ("results.json", "report.md", "baseline.json"):
        assert (tmp_path / name).read_text() == (complete / name).read_text().replace(str(complete), str(tmp_path))
    assert metrics(tmp_path) == metrics(complete)


def test_a_run_that_stopped_early_stops_again_and_says_why(build: Build, world: Path, tmp_path: Path) -> None:
    """Also where it is ended right after the validation that stopped it."""
    table = {0: 10.0, 3: 30.0, 6: 20.0, 9: 25.0}
    options = {"table": table, "max_epochs": 8, "patience": 2}
    module = FineTune(build(), optimisation=FAST)
    first = tuned(build, world, tmp_path, module=module, **options)
    best, last = (weights(tmp_path / name) for name in ("best", "last"))
    learned = module.model.adapter_state()
    assert all(torch.equal(learned[name], value) for name, value in best.items()), "the module has the best"
    assert any(not torch.equal(learned[name], value) for name, value in last.items())
    again = tuned(build, world, tmp_path, **options, resume=True)
    assert (again.steps, again.best.step, again.last.step) == (first.steps, 3, 9)
    assert again.stopped == first.stopped
    assert "stopped after 3 of 8 epochs: CIDEr-D had not risen above 30.00 for 2 epochs" in again.report.read_text()
    assert again.early
    assert json.loads((tmp_path / "last" / "results.json").read_text())["scores_step"] == 9
    more = tuned(build, world, tmp_path, **options | {"patience": 4}, resume=True)
    assert (more.steps, more.best.step) == (15, 3)


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(
    build: Build, world: Path, complete: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        tuned(build, world, tmp_path, Stop(0), checkpoint_every=1)
    assert not (tmp_path / "best").exists(), "the next try would have to ask whether it may overwrite it"
    tuned(build, world, tmp_path, checkpoint_every=1, resume=True)
    assert all(
        torch.equal(value, weights(complete / "last")[name]) for name, value in weights(tmp_path / "last").items()
    )


def test_the_largest_batch_counts_the_sound(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    free = 64 * finetune_run._step_memory(model, 1, 8)
    monkeypatch.setattr(finetune_run, "_memory", lambda device: free)
    deaf = largest_batch(model, tokens=8)
    model.add_sound(write_ast(tmp_path / "ast"))
    heard = largest_batch(model, tokens=8)
    assert deaf == 32
    assert 1 <= heard < deaf, "twelve windows of sound are more than the frames of a clip"


def test_the_report_has_the_baseline_the_best_and_the_last_with_intervals_and_warnings(
    build: Build, world: Path, tmp_path: Path
) -> None:
    result = tuned(build, world, tmp_path, table={0: 10.0, 3: 30.0, 6: 20.0, 9: 25.0})
    document = json.loads((tmp_path / "results.json").read_text())
    assert [document[name]["step"] for name in ("baseline", "best", "last")] == [0, 3, 9]
    assert all(
        low <= document[name]["scores"][metric] <= high
        for name in ("baseline", "best", "last")
        for metric, (low, high) in document[name]["intervals"].items()
        if metric != CIDER  # which the test sets
    )
    assert document["videos"] == 2 < FEW_VIDEOS
    losses = [document[name]["loss"] for name in ("baseline", "best", "last")]
    logged = metrics(tmp_path)
    assert losses[1:] == pytest.approx([float(logged[step]["val/loss"]) for step in ("2", "8")], rel=1e-6)
    assert losses[0] != losses[1]
    assert any("fewer than 30" in text for text in document["warnings"])
    assert document["stopped"].startswith("Training ended after all 3 epochs")
    assert not document["early"]
    report = result.report.read_text()
    assert "| | baseline (step 0) | best (step 3) | last (step 9) |" in report.replace("|  |", "| |")
    assert "**Warning:** 2 validation videos" in report
    for name in ("best", "last"):
        kept = json.loads((tmp_path / name / "results.json").read_text())
        assert kept["baseline"] == document["baseline"]
        assert (kept["loss"], kept["videos"]) == (document[name]["loss"], 2)


def test_a_run_that_was_best_at_its_end_is_advised_to_go_on(build: Build, world: Path, tmp_path: Path) -> None:
    rising = tuned(build, world, tmp_path / "a", table={0: 10.0, 3: 20.0, 6: 30.0, 9: 40.0})
    assert "--resume --max-epochs" in rising.next[0]
    never = tuned(build, world, tmp_path / "b", table={0: 50.0})
    assert not never.improved
    assert "lower learning rate (--lr)" in never.next[0]
    assert never.best == never.baseline
    for name, value in weights(tmp_path / "b" / "best").items():
        assert torch.equal(value, build().adapter_state()[name])


def test_patience_is_that_of_the_run_that_resumes() -> None:
    stop = StopWithoutGain(3)
    stop.load_state_dict({**StopWithoutGain(1).state_dict(), "wait_count": 2})
    assert (stop.patience, stop.wait_count, stop.exhausted) == (3, 2, False)


def test_ctrl_c_in_the_validation_before_the_first_step_is_one(build: Build, world: Path, tmp_path: Path) -> None:
    class Stopped(Callback):
        def on_validation_start(self, *_: Any) -> None:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            tuned(build, world, tmp_path, progress=Stopped())
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler, "a second one counts, too"
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "baseline.json").exists()


@pytest.mark.parametrize("which", [1, 2])
def test_a_sigterm_in_a_validation_before_or_after_the_training_ends_the_run(
    which: int, build: Build, world: Path, tmp_path: Path
) -> None:
    class Terminated(Callback):
        validations = 0

        def on_validation_start(self, trainer: Any, *_: Any) -> None:
            self.validations += trainer.state.fn == "validate"
            if self.validations == which:
                os.kill(os.getpid(), signal.SIGTERM)

    options = {"table": {0: 10.0, 3: 30.0, 6: 20.0}, "max_epochs": 2}
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(Interrupted) as stop:
            tuned(build, world, tmp_path, progress=Terminated(), **options)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(each, handler)
    assert stop.value.signal == signal.SIGTERM
    assert (tmp_path / "checkpoints" / "last.ckpt").exists() == (which == 2)
    assert tuned(build, world, tmp_path, resume=which == 2, **options).best.step == 3


def test_a_run_that_begins_anew_does_not_report_the_steps_of_one_that_failed(
    build: Build, world: Path, tmp_path: Path
) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n99,1.0\n")
    tuned(build, world, tmp_path, max_epochs=1)
    assert "99" not in metrics(tmp_path)
