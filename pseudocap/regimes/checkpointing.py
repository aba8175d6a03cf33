"""Save what was learned: captioners that `PseudoCap.from_pretrained` loads, and complete training checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from pseudocap.data.stream.resumable import ResumableData
from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.atomic import unfinished
from pseudocap.files.sources import read_json
from pseudocap.metrics.measures import measure
from pseudocap.metrics.resample import intervals
from pseudocap.metrics.suite import Scores
from pseudocap.regimes.base import Learner
from pseudocap.regimes.interruption import StopRequest

RESULTS = "results.json"
SAMPLES = 1000  # resampled sets of videos, of which the intervals are


class AtomicCheckpoints(TorchCheckpointIO):
    """Write a training checkpoint beside its target and rename it; what goes wrong is one clear error.

    Lightning's own is complete or absent too, but is held in memory a second time while it is written, and a full disk
    ends in a traceback.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with unfinished(target, durable=True) as scratch, scratch.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise CheckpointError(
                f"{target} could not be written: {first_line(error)}; earlier checkpoints are complete: make room "
                "and go on from there (--resume)"
            ) from error


class Checkpoints(ModelCheckpoint):
    """Make Lightning's checkpoints exact for runs that resume from them, and save one where a signal ends the run.

    A checkpoint of a step that validation follows is written after it: else a resumed run never has that validation.
    And a resumed run knows which step it comes from: else it writes that one's checkpoint again after the next batch,
    in the middle of an accumulation whose gradients no checkpoint has.

    Args:
        every_n_train_steps: optimiser steps between two checkpoints
        after_validation: save after every validation as well
    """

    def __init__(self, *, every_n_train_steps: int, after_validation: bool = False, **options: Any) -> None:
        if every_n_train_steps < 1:
            raise ConfigError(f"there must be at least 1 step between two checkpoints, not {every_n_train_steps}")
        options = {"enable_version_counter": False, **options}  # else a run that was moved resumes into last-v1.ckpt
        super().__init__(every_n_train_steps=every_n_train_steps, save_on_train_epoch_end=False, **options)
        self.every, self.after_validation = every_n_train_steps, after_validation
        self._stop = StopRequest()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._last_global_step_saved = trainer.global_step
        self._stop.listen()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stop = self._stops(trainer)
        due = trainer.global_step % self.every == 0 or stop
        if due and not self._should_skip_saving_checkpoint(trainer):
            if _validation_follows(trainer):
                self._defer_save_until_validation = True  # which on_validation_end then does
                return
            self._save(trainer)
        if stop and not _validation_follows(trainer):
            self._end(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        stop = self._stops(trainer)
        due = self._defer_save_until_validation or self.after_validation or stop
        self._defer_save_until_validation = False
        if due and not self._should_skip_saving_checkpoint(trainer) and not trainer.fit_loop._should_accumulate():
            self._save(trainer)
        if stop:
            self._end(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._stop.close()
        super().on_train_end(trainer, pl_module)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._stop.close()
        super().on_exception(trainer, pl_module, exception)

    def _stops(self, trainer: lightning.Trainer) -> bool:
        """Return whether to stop here: a signal came, and no gradients wait for further batches."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or trainer.fit_loop._should_accumulate():
            return False
        return self._stop.is_made(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        candidates = self._monitor_candidates(trainer)
        self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    def _end(self, trainer: lightning.Trainer) -> None:
        raise self._stop.interrupted(
            f"stopped after step {trainer.global_step:,}, which {Path(self.last_model_path).name} holds"
        )


def _validation_follows(trainer: lightning.Trainer) -> bool:
    """Return, at the end of a batch, whether Lightning validates next."""
    fetcher, epoch = trainer.fit_loop._data_fetcher, trainer.fit_loop.epoch_loop
    if fetcher is None or epoch.val_loop.skip:  # nothing to validate on, of which Lightning takes no notice until then
        return False
    return epoch._should_check_val_fx(fetcher)


class KeepCaptioner(Callback):
    """Save the captioner as `best` whenever validation finds it better than before, and as `last` at the end.

    Beside each lies `results.json`: its step, the scores with the step that they are of, and the data.

    Args:
        folder: where both directories are written; by default that of the run's logs
        monitor: the figure that must rise
        command: what was run, for the results
        baseline: how the captioner scored before its first step, for the results
    """

    def __init__(
        self,
        folder: str | None = None,
        monitor: str = "val/CIDEr-D",
        command: str | None = None,
        baseline: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.monitor, self.command, self.baseline = folder, monitor, command, baseline
        self.best = -math.inf
        self._ended = False

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Read the best score again: a resumed run may find a better captioner than its checkpoint knows of."""
        path = self.where(trainer, "best") / RESULTS
        if trainer.ckpt_path is not None and path.is_file():
            scores = read_json(path).get("scores")
            if isinstance(scores, dict) and self._name in scores:
                self.best = max(self.best, float(scores[self._name]))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        value = self._monitored(trainer, pl_module)
        if value > self.best:
            self.best = value
            self._save(trainer, pl_module, "best")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._save(trainer, pl_module, "last")
        self._ended = True

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save `last` where the run resumed at its end, so that nothing was trained, and had been stopped before it was
        saved."""
        results = self.where(trainer, "last") / RESULTS
        if not self._ended and (not results.is_file() or read_json(results).get("step") != trainer.global_step):
            self.on_train_end(trainer, pl_module)
        self._ended = False

    def where(self, trainer: lightning.Trainer, name: str) -> Path:
        return Path(self.folder or trainer.log_dir or trainer.default_root_dir) / name

    @property
    def _name(self) -> str:
        """Return the name of the monitored score in `scores`."""
        return self.monitor.removeprefix("val/")

    def _monitored(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> float:
        """Return a score as it was computed: Lightning logs it rounded to float32, up as often as down."""
        if isinstance(module, Learner) and module.scores is not None and self._name in module.scores:
            return module.scores[self._name]
        return float(trainer.callback_metrics.get(self.monitor, -math.inf))

    def _save(self, trainer: lightning.Trainer, module: lightning.LightningModule, name: str) -> None:
        target = self.where(trainer, name)  # which all ranks must ask, as they must for what each met of the data
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, ResumableData):
            data.gather_coverage()
        if trainer.is_global_zero and isinstance(module, Learner):
            known = data.provenance() if isinstance(data, ResumableData) else None
            step = trainer.global_step
            save_captioner(target, module, step=step, data=known, command=self.command, baseline=self.baseline)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def measured(module: Learner) -> dict[str, Any]:
    """Return what the latest validation found: scores with their intervals, the loss, the number of videos."""
    scores = module.scores
    rows = scores.rows if isinstance(scores, Scores) else {}  # of each video, for captions alone
    found = intervals([(measure(each), table) for each, table in rows.items()], samples=SAMPLES, seed=0) if rows else []
    return {
        "scores": dict(scores or {}),
        "intervals": {name: [each.low, each.high] for name, each in zip(rows, found, strict=True)}
        or dict(module.validation.intervals),
        "loss": module.validation.loss,
        "videos": scores.n if isinstance(scores, Scores) else module.validation.videos,
    }


def save_captioner(
    target: Path,
    module: Learner,
    *,
    step: int,
    data: Mapping[str, Any] | None,
    command: str | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> None:
    """Save the captioner as it is after so many steps, with what results.json and page have of it: how it learned, how
    it scores, on what. Videos that could not be decoded are counted, not named: their names are nobody else's business.
    """
    origin = module.model.origin
    known = _unnamed(data or {})
    if known.get("validation"):  # a stream's, which names its own videos
        known["validation"] = _unnamed(known["validation"])
    results = {
        "regime": type(module).__name__,
        "step": step,
        "scores_step": module.validation.scored_at,
        "started_from": None if origin is None else origin.public_name,
        "split": "val",
        **measured(module),
        **({"scores_by_group": groups} if (groups := module.validation.group_scores) else {}),
        "data": known or None,
        "command": command,
        **({} if baseline is None else {"baseline": dict(baseline)}),
    }
    (target / RESULTS).unlink(missing_ok=True)  # so that a kill in between leaves none rather than an earlier one's
    module.model.save_pretrained(target, results=results)


def _unnamed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with its videos counted by split."""
    if "coverage" not in data:
        return dict(data)
    counts = {name: {key: part[key] for key in ("videos", "present")} for name, part in data["coverage"].items()}
    return {**data, "coverage": counts}
