"""Estimate how long a run takes and how much it stores, from a short probe of its own clips and networks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import Decoding
from pseudocap.errors import DecodeError
from pseudocap.label.framing import Framing, decode_planned
from pseudocap.label.shard import view_key
from pseudocap.label.teachers.base import Teacher, View
from pseudocap.learn.plan import LABELS, MEMORIES, REPORT, TRAIN, LearnPlan
from pseudocap.memory import Memory
from pseudocap.types import Clip
from pseudocap.video.decode import open_video
from pseudocap.video.tensors import decode_clip, pad_clips

PROBED = 2  # clips
# Seconds a clip of a teacher that is not here yet: BLIP-base on a core (docs/labelling.md), a V100 in the papers
STATED = {"cpu": 2.2, "gpu": 1 / 9}
VALIDATIONS = 10
ROOM = 1.1  # times what is estimated must be free
# Of the adapters in float32: weights and two moments in a checkpoint, best, last, captioner, one being written
COPIES = 7
ROW_BYTES = 4096  # of a clip, in labels, captions and indices


@dataclass(frozen=True, kw_only=True)
class Cost:
    stage: str
    seconds: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Hold the time of each stage, the bytes that the run stores and the disk has, and what must be fetched."""

    costs: tuple[Cost, ...]
    bytes: int
    free: int
    fetched: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(cost.seconds for cost in self.costs)

    def objection(self, out: Path) -> str:
        """Return what to report where the disk has too little room; else nothing."""
        if self.free >= ROOM * self.bytes:
            return ""
        return (
            f"--out {out}: the run stores about {size_text(self.bytes)} and its disk has {size_text(self.free)} free; "
            "make room, or name a folder on another disk"
        )


def size_text(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def estimate(
    plan: LearnPlan,
    model: PseudoCap,
    teacher: Teacher | None,
    framing: Framing | None,
    *,
    out: Path,
    fetched: Sequence[str] = (),
    begins: Callable[[str], None] = lambda what: None,
) -> Estimate:
    """Time labelling, encoding, a step and a caption on some clips; `begins` gets what is timed next. `teacher` is None
    where it would be fetched."""
    clips = probed_clips(plan)
    begins(f"encoding {len(clips)} clips")
    sight, encoding = _timed(lambda: [_decoded(clip, model) for clip in clips])
    memory, encoding_on = _timed(lambda: model.encode(*pad_clips(sight)))
    encoding = (encoding + encoding_on) / len(clips)
    begins(f"captioning {len(clips)} clips, and two steps of training")
    _, captioning = _timed(lambda: model.describe(memory, **Decoding().generate_options()))
    captioning /= len(clips)
    step = _step_seconds(model, memory, plan.batch)
    _, held = plan.counts
    if teacher is not None and framing is not None:
        begins(f"labelling {len(clips)} clips")
        _, labelling = _timed(lambda: _label(clips, teacher, framing, plan.seed))
        labelling, basis = labelling / len(clips), f"measured on {len(clips)} clips"
    else:
        labelling, basis = STATED["cpu" if model.device.type == "cpu" else "gpu"], "a stated rate of BLIP"
    here = f"measured on {len(clips)} clips"
    costs = (
        Cost(stage=LABELS, seconds=plan.clips * labelling, basis=basis),
        Cost(stage=MEMORIES, seconds=plan.clips * encoding, basis=here),
        Cost(stage=TRAIN, seconds=plan.optimiser_steps * step + VALIDATIONS * held * captioning, basis=here),
        Cost(stage=REPORT, seconds=2 * held * captioning, basis=here),
    )
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) * 4 * COPIES
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    return Estimate(
        costs=costs,
        bytes=plan.clips * (_memory_bytes(memory) // len(clips) + ROW_BYTES) + weights,
        free=shutil.disk_usage(existing).free,
        fetched=tuple(fetched),
    )


def probed_clips(plan: LearnPlan) -> list[Clip]:
    """Return the first clips of some videos that lie far apart in the folder."""
    apart = max(1, len(plan.videos) // PROBED)
    return [plan.clips_of(video)[0] for video in plan.videos[::apart][:PROBED]]


def _timed(work: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    done = work()
    if torch.cuda.is_available():  # whose work is queued
        torch.cuda.synchronize()
    return done, time.perf_counter() - started


def _decoded(clip: Clip, model: PseudoCap) -> torch.Tensor:
    with open_video(clip.source, threads=1) as video:
        return decode_clip(video, clip, model.config.preprocess)


def _label(clips: Sequence[Clip], teacher: Teacher, framing: Framing, seed: int) -> None:
    """Decode and caption clips as `pseudocap label` does."""
    views = []
    for clip in clips:
        (decoded,) = decode_planned(clip.source, [clip], framing)
        if decoded.problem:
            raise DecodeError(clip.source, decoded.problem)
        views.append(View(clip=clip, frames=decoded.frames, key=view_key(seed, clip, 0)))
    teacher.caption(views)


def _step_seconds(model: PseudoCap, memory: Memory, batch: int) -> float:
    """Time the second of two training steps; the first one also allocates."""
    rows = memory[torch.arange(batch) % len(memory)]
    tokens = model.tokenize(["a person is doing something in front of a building"] * batch)
    seconds = 0.0
    for _ in range(2):
        _, seconds = _timed(
            lambda: model(
                tokens.input_ids, rows, attention_mask=tokens.attention_mask, labels=tokens.labels
            ).loss.backward()
        )
        model.zero_grad(set_to_none=True)
    return seconds


def _memory_bytes(memory: Memory) -> int:
    """Return what a memory takes on disk, in float16."""
    numbers = sum(axis.vectors.numel() for axis in memory.axes.values())
    return 2 * (numbers + (0 if memory.patches is None else memory.patches.numel()))
