"""Fine-tune from end to end without a config: batch size by memory, an early stop, a captioner, a report.

The way of the data: the captioner captions what is held out as it is; it learns, and is kept whenever validation finds
it better; the best one captions the same videos again; both stand side by side in the report.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar

from pseudocap.captioner import PseudoCap
from pseudocap.data.caption_data import CaptionData
from pseudocap.errors import DataError
from pseudocap.model.weights import read_tensors
from pseudocap.regimes.checkpointing import KeepCaptioner, save_captioner
from pseudocap.regimes.finetune import FineTune
from pseudocap.regimes.logs import RunLogger
from pseudocap.regimes.loss_guards import StopOnBadLoss, ctrl_c_as_usual
from pseudocap.regimes.report import write_report
from pseudocap.regimes.validation import Captioned

MONITOR = "val/CIDEr-D"
LARGEST = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """Hold the result of fine-tuning. `captioner` is the directory that `from_pretrained` loads."""

    captioner: Path
    report: Path
    before: dict[str, float]
    after: dict[str, float]
    steps: int
    batch_size: int

    @property
    def improved(self) -> bool:
        """Return whether `captioner` has learned anything, or is the one that was started from."""
        return self.after["CIDEr-D"] > self.before["CIDEr-D"]


def fine_tune(
    module: FineTune,
    data: CaptionData,
    out: Path,
    *,
    max_epochs: int = 30,
    patience: int = 5,
    callbacks: Sequence[Callback] = (),
    command: str | None = None,
    **trainer_options: Any,
) -> Tuned:
    """Fit until validation CIDEr-D has not risen for `patience` epochs. `trainer_options` go to Lightning's Trainer;
    `command` is what was run, for the results."""
    saver = KeepCaptioner(str(out), MONITOR, command)
    stop = EarlyStopping(MONITOR, mode="max", patience=patience, check_on_train_epoch_end=False, strict=True)
    trainer = lightning.Trainer(
        default_root_dir=out,
        logger=RunLogger(out),
        enable_checkpointing=False,  # nothing goes on with a fine-tuning: best/ is what is kept of it
        max_epochs=max_epochs,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        callbacks=[saver, StopOnBadLoss(), stop, *callbacks],
        **trainer_options,
    )
    before, captions_before = _validated(module, data, callbacks, trainer_options)
    if "CIDEr-D" not in before:
        raise DataError(
            "validation needs at least two videos, or CIDEr-D, which decides when to stop, cannot be computed: hold "
            "out a larger share (--val-share), add videos, or mark some with split 'val'"
        )
    save_captioner(out / "best", module, step=0, data=data.provenance(), command=command)  # what must be beaten
    saver.best = before["CIDEr-D"]
    try:
        with ctrl_c_as_usual():
            trainer.fit(module, datamodule=data)
    except BaseException:
        if saver.best == before["CIDEr-D"]:  # nothing was learned that the next try would overwrite
            shutil.rmtree(out / "best")
        raise
    adapters = read_tensors(out / "best" / "adapter_model.safetensors")
    module.model.decoder.adapters.load_state_dict(adapters)
    after, captions_after = _validated(module, data, callbacks, trainer_options)
    report = write_report(
        out,
        before=before,
        after=after,
        captions_before=captions_before,
        captions_after=captions_after,
        data=data.provenance(),
    )
    return Tuned(
        captioner=out / "best",
        report=report,
        before=before,
        after=after,
        steps=trainer.global_step,
        batch_size=data.batch_size,
    )


def _validated(
    module: FineTune, data: CaptionData, callbacks: Sequence[Callback], trainer_options: dict[str, Any]
) -> tuple[dict[str, float], list[Captioned]]:
    """Validate with a separate trainer, so that neither logs nor saved captioners take it for a step of training."""
    names = ("accelerator", "devices", "precision", "enable_progress_bar")
    options = {name: trainer_options[name] for name in names if name in trainer_options}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    bars: list[Callback] = [each for each in callbacks if isinstance(each, ProgressBar)]
    lightning.Trainer(**options, **quiet, callbacks=bars).validate(module, datamodule=data, verbose=False)
    return dict(module.scores or {}), getattr(module.validation, "captioned", [])


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
    ids = torch.full((rows, min(tokens, model.decoder.positions or tokens)), 4, device=model.device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(model.device)
        model(ids, model.encode(frames), labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)
        return float(torch.cuda.max_memory_allocated(model.device))
    recorded = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal recorded
        recorded += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model(ids, model.encode(frames), labels=ids)
    patches = rows * preprocess.frames * math.prod(model.encoder.grid(preprocess.size, preprocess.size))
    encoder = 12 * patches * model.encoder.width("space") * 4
    return float(clips * (recorded + frames.numel() * 4 + encoder))


def _memory(device: torch.device) -> float:
    """Return the bytes that a step may use: of a GPU all, elsewhere what is free."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 4 * 2**30
    line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
    return float(line.split()[1]) * 1024
