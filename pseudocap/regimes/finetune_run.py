"""Fine-tune from end to end without a config: batch size by memory, an early stop, a captioner, a report.

The way of the data: the captioner captions what is held out as it is; it learns, and is kept whenever validation finds
it better; the best one captions the same videos again; all stand side by side in the report. A run that was ended goes
on at its last checkpoint, as if it never had been.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar

from pseudocap.captioner import PseudoCap
from pseudocap.data.caption_data import CaptionData
from pseudocap.errors import DataError
from pseudocap.files.atomic import write_text
from pseudocap.files.sources import read_json
from pseudocap.memory import SOUND, Axis, Memory
from pseudocap.metrics.suite import compare
from pseudocap.model.weights import read_tensors
from pseudocap.regimes.base import Learner
from pseudocap.regimes.checkpointing import (
    RESULTS,
    AtomicCheckpoints,
    Checkpoints,
    KeepCaptioner,
    measured,
    save_captioner,
)
from pseudocap.regimes.finetune import FineTune
from pseudocap.regimes.finetune_report import CIDER, METRICS, Tuned, ValidationResult, write_report
from pseudocap.regimes.interruption import ctrl_c_as_usual, sigterm_as_ctrl_c
from pseudocap.regimes.logs import RunLogger
from pseudocap.regimes.loss_guards import StopOnBadLoss
from pseudocap.regimes.table import BASELINE, LAST, TOO_FEW_TO_VALIDATE
from pseudocap.types import MOST_WINDOWS

LARGEST = 64


class StopWithoutGain(EarlyStopping):
    """Stop where validation has not risen for `patience` epochs; a run that resumes there stops again, unless it is
    given more patience."""

    def __init__(self, patience: int, monitor: str = Learner.monitor) -> None:
        super().__init__(monitor, mode="max", patience=patience, check_on_train_epoch_end=False, strict=True)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.exhausted

    @property
    def exhausted(self) -> bool:
        return self.wait_count >= self.patience

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Hold a fit that has ended, and what was measured before it. `validate` measures again, as of a step."""

    trainer: lightning.Trainer
    saver: KeepCaptioner
    stop: StopWithoutGain
    baseline: ValidationResult
    validate: Callable[..., ValidationResult]


def fine_tune(module: FineTune, data: CaptionData, out: Path, **settings: Any) -> Tuned:
    """Fit until validation CIDEr-D has not risen for `patience` epochs, with the settings of `fit`, and report it."""
    module.model.learn_languages(data.corpus.languages)
    return _finish(module, data, out, fit(module, data, out, **settings))


def fit(
    module: Learner,
    data: CaptionData,
    out: Path,
    *,
    max_epochs: int = 30,
    patience: int = 5,
    checkpoint_every: int = 100,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Callback | None = None,
    callbacks: Sequence[Callback] = (),
    command: str | None = None,
    **trainer_options: Any,
) -> Fitted:
    """Fit until the score that the module monitors has not risen for `patience` epochs.

    `resume` goes on at the last checkpoint in `out`, one of which is saved after every validation and every
    `checkpoint_every` steps. `progress` is drawn by the validations before and after as well. `trainer_options` go to
    Lightning's Trainer; `settings` and `command`, what was run, are recorded.
    """
    drawing = [] if progress is None else [progress]
    bars = [*drawing, *(each for each in callbacks if isinstance(each, ProgressBar))]
    validate = partial(_validated, module, data, bars, trainer_options)
    last = out / LAST
    checkpoint = last if resume and last.exists() else None
    if checkpoint is None:
        baseline = _begin(module, data, out, validate, settings=settings, command=command)
    else:
        baseline = _read_baseline(out / BASELINE)
    saver = KeepCaptioner(str(out), module.monitor, command, baseline=baseline.to_dict())
    saver.best = baseline.scores[_score_of(module)]
    stop = StopWithoutGain(patience, module.monitor)
    trainer = lightning.Trainer(
        default_root_dir=out,
        logger=RunLogger(out),
        max_epochs=max_epochs,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        callbacks=[saver, StopOnBadLoss(), stop, _checkpoints(last.parent, checkpoint_every), *drawing, *callbacks],
        plugins=[AtomicCheckpoints()],
        **trainer_options,
    )
    try:
        with ctrl_c_as_usual():
            trainer.fit(module, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    except BaseException:
        if not last.exists():  # nothing is lost that the next try would overwrite
            shutil.rmtree(out / "best")
            (out / BASELINE).unlink(missing_ok=True)
        raise
    return Fitted(trainer=trainer, saver=saver, stop=stop, baseline=baseline, validate=validate)


def _score_of(module: Learner) -> str:
    """Return the name of the score that must rise."""
    return module.monitor.removeprefix("val/")


def _begin(
    module: Learner,
    data: CaptionData,
    out: Path,
    validate: Callable[..., ValidationResult],
    *,
    settings: Mapping[str, Any] | None,
    command: str | None,
) -> ValidationResult:
    """Measure and save the captioner as it is: the one to beat."""
    (out / METRICS).unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    baseline = validate(step=0)
    if _score_of(module) not in baseline.scores:
        raise DataError(TOO_FEW_TO_VALIDATE)
    document = {"settings": dict(settings or {}), "baseline": asdict(baseline)}
    write_text(out / BASELINE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    known = baseline.to_dict()
    save_captioner(out / "best", module, step=0, data=data.provenance(), command=command, baseline=known)
    return baseline


def _read_baseline(path: Path) -> ValidationResult:
    document: dict[str, Any] = dict(read_json(path))
    return ValidationResult(**document["baseline"])


def _checkpoints(folder: Path, every: int) -> Checkpoints:
    return Checkpoints(dirpath=folder, every_n_train_steps=every, after_validation=True, save_last=True, save_top_k=0)


def _finish(module: FineTune, data: CaptionData, out: Path, fitted: Fitted) -> Tuned:
    """Measure the last captioner and the best one, whose adapters the module then has, and write the report."""
    baseline, steps, last = fitted.baseline, fitted.trainer.global_step, measured_last(module, fitted)
    captioned = list(getattr(module.validation, "captioned", []))
    kept: dict[str, Any] = dict(read_json(out / "best" / RESULTS))
    weights = out / "best" / "adapter_model.safetensors"
    module.model.decoder.load_learned(read_tensors(weights), source=weights)
    if kept["step"] in (0, steps):
        best = last if kept["step"] else baseline
    else:
        found = {name: kept[name] for name in ("scores", "intervals", "loss", "videos")}
        best = replace(fitted.validate(step=kept["step"]), **found)
    references = {each.key: each.references for each in captioned}
    tuned = Tuned(
        captioner=out / "best",
        report=out / "report.md",
        baseline=baseline,
        best=best,
        last=last,
        change=compare(
            predictions=best.captions,
            baseline=baseline.captions,
            references=references,
            metrics=tuple(best.scores),
            allow_missing=True,
        ),
        stopped=why(fitted, CIDER),
        early=fitted.stop.exhausted,
        steps=steps,
        batch_size=data.batch_size,
    )
    write_report(out, tuned, captioned, data.provenance())
    return tuned


def measured_last(module: Learner, fitted: Fitted) -> ValidationResult:
    """Return what the validation of the last step found, which is run where none did."""
    steps = fitted.trainer.global_step
    if module.validation.scored_at == steps:  # by the last epoch
        return _measured(module, step=steps)
    last = fitted.validate(step=steps)  # nothing was left to train where the run resumed
    module.validation.scored_at = steps
    fitted.saver.on_train_end(fitted.trainer, module)
    return last


def why(fitted: Fitted, score: str) -> str:
    """Return why the fit ended."""
    trainer, stop = fitted.trainer, fitted.stop
    per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    epochs = math.ceil(trainer.global_step / per_epoch)  # a run that resumed at its end counts none itself
    if not stop.exhausted:
        return f"Training ended after all {epochs} epochs (--max-epochs)"
    return (
        f"Training stopped after {epochs} of {trainer.max_epochs} epochs: {score} had not risen above "
        f"{float(stop.best_score):.2f} for {stop.wait_count} epochs (--patience)"
    )


def _measured(module: Learner, *, step: int) -> ValidationResult:
    captions = {each.key: each.caption for each in getattr(module.validation, "captioned", [])}
    groups = {group: dict(each) for group, each in module.validation.group_scores.items()}
    return ValidationResult(step=step, captions=captions, groups=groups, taken=_taken(module), **measured(module))


def _taken(module: Learner) -> dict[str, float]:
    """Return how much the adapters of a captioner that hears take of each axis: the mean norm of W_mix's blocks."""
    model = module.model
    if not isinstance(model, PseudoCap) or not model.config.hears:
        return {}
    mixed = [adapter.mixed() for adapter in model.adapters.values()]
    return {axis: statistics.fmean(each[axis] for each in mixed) for axis in next(iter(mixed), {})}


def _validated(
    module: Learner,
    data: CaptionData,
    bars: list[Callback],
    trainer_options: dict[str, Any],
    *,
    step: int,
) -> ValidationResult:
    """Validate with a separate trainer, so that neither logs nor saved captioners take it for a step of training."""
    names = ("accelerator", "devices", "precision", "enable_progress_bar")
    options = {name: trainer_options[name] for name in names if name in trainer_options}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = lightning.Trainer(**options, **quiet, callbacks=bars)
    with ctrl_c_as_usual(), sigterm_as_ctrl_c():
        trainer.validate(module, datamodule=data, verbose=False)
    return _measured(module, step=step)


def largest_batch(model: PseudoCap, *, tokens: int = 32, most: int = LARGEST) -> int:
    """Return how many clips a training step can take here: by trying on a GPU, by what memory is free elsewhere.

    A power of two, with half of the memory left for what grows: longer captions, the optimiser, the decoding.
    """
    size = 1
    while size < most:
        try:
            used = _step_memory(model, 2 * size, tokens)
        except torch.OutOfMemoryError:
            break
        if used > 0.5 * _memory(model.device):
            break
        size *= 2
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    return size


def _step_memory(model: PseudoCap, clips: int, tokens: int) -> float:
    """Measure one step's bytes. On a CPU from what a step of a single clip records, which is nearly proportional."""
    preprocess = model.config.preprocess
    on_gpu = model.device.type == "cuda"
    rows = clips if on_gpu else 1
    frames = torch.zeros(rows, preprocess.frames, 3, preprocess.size, preprocess.size)
    sound = _sound_of(model, rows, windows=MOST_WINDOWS if on_gpu else 1)
    ids = torch.full((rows, min(tokens, model.decoder.positions or tokens)), 4, device=model.device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(model.device)
        model(ids, model.encode(frames, **sound), labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)
        return float(torch.cuda.max_memory_allocated(model.device))
    recorded = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal recorded
        recorded += tensor.numel() * tensor.element_size()
        return tensor

    memory = model.encode(frames, **sound)
    heard = {name: _repeated(memory.axes[name], MOST_WINDOWS) for name in SOUND if name in memory.axes}
    memory = Memory({**memory.axes, **heard}, memory.patches)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model(ids, memory, labels=ids)
    inputs = frames.numel() + sum(MOST_WINDOWS * each.numel() for each in sound.values())
    patches = rows * preprocess.frames * math.prod(model.encoder.grid(preprocess.size, preprocess.size))
    encoder = 12 * patches * model.encoder.width("space") * 4
    return float(clips * (recorded + inputs * 4 + encoder))


def _sound_of(model: PseudoCap, clips: int, *, windows: int) -> dict[str, torch.Tensor]:
    """Return sound for clips, where the captioner hears. Its encoder takes a few windows at a time, so that what the
    encoder holds does not grow with them."""
    heard = model.config.sound_preprocess
    if heard is None:
        return {}
    lengths = torch.full((clips, windows), heard.frames)
    return {"sound": torch.zeros(clips, windows, heard.frames, heard.bins), "sound_lengths": lengths}


def _repeated(axis: Axis, times: int) -> Axis:
    return Axis(axis.vectors.repeat(1, times, 1), axis.mask.repeat(1, times))


def _memory(device: torch.device) -> float:
    """Return the bytes that a step may use: of a GPU all, elsewhere what is free."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 4 * 2**30
    line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
    return float(line.split()[1]) * 1024
