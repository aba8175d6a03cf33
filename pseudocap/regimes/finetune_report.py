"""Report fine-tuning: what validation found before, at best and at the end, why it ended, and what to do next.

`results.json` has it for programs, `report.md` and `curves.png` for people.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pseudocap.files.atomic import unfinished, write_text
from pseudocap.metrics.resample import Difference
from pseudocap.regimes.checkpointing import RESULTS
from pseudocap.regimes.validation import Captioned, table_row

EXAMPLES = 12
FEW_VIDEOS = 30  # below which an interval is so wide that a score says little
CIDER = "CIDEr-D"
METRICS = "metrics.csv"  # as Lightning names it


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationResult:
    """Hold what one validation found of a captioner after `step` steps; `loss` is per token of a reference. Of one that
    hears also its scores by groups of modalities, and how much its adapters take of each axis of the memory."""

    step: int
    scores: dict[str, float]
    intervals: dict[str, list[float]]
    loss: float | None
    videos: int
    captions: dict[str, str] = field(repr=False)  # by video
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        found = {"step": self.step, "scores": self.scores, "intervals": self.intervals, "loss": self.loss}
        return found | {name: value for name in ("groups", "taken") if (value := getattr(self, name))}

    def by_modalities(self) -> dict[str, float]:
        """Return the scores by groups and what is taken of each axis, by what a report calls them."""
        scores = {f"{name} by {group}": value for group, each in self.groups.items() for name, value in each.items()}
        return scores | {f"taken of {axis}": value for axis, value in self.taken.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """Hold the result of fine-tuning. `captioner` is the directory that `from_pretrained` loads."""

    captioner: Path
    report: Path
    baseline: ValidationResult
    best: ValidationResult
    last: ValidationResult
    change: dict[str, Difference]  # of best against baseline, on the same videos
    stopped: str
    early: bool
    steps: int
    batch_size: int

    @property
    def before(self) -> dict[str, float]:
        return self.baseline.scores

    @property
    def after(self) -> dict[str, float]:
        return self.best.scores

    @property
    def improved(self) -> bool:
        """Return whether `captioner` has learned anything, or is the one that was started from."""
        return self.after[CIDER] > self.before[CIDER]

    @property
    def summary(self) -> str:
        if not self.improved:
            return "CIDEr-D never rose: best is what was started from, last the captioner that learned"
        change = self.change[CIDER]
        low, high = change.interval.low, change.interval.high
        return f"CIDEr-D {change.value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, on {self.best.videos} videos"

    @property
    def warnings(self) -> list[str]:
        found = []
        if self.best.videos < FEW_VIDEOS:
            found.append(
                f"{self.best.videos} validation videos are fewer than {FEW_VIDEOS}: scores are a rough guide; mark "
                "more rows with the split val, or hold out a larger share (--val-share)"
            )
        if self.improved and self.change[CIDER].interval.low <= 0:
            found.append("the rise of CIDEr-D may be chance: its interval includes 0")
        return found

    @property
    def next(self) -> list[str]:
        """List what to do now, the most useful first."""
        if not self.improved:
            return [
                "try a lower learning rate (--lr) or more captions, in another folder (--out)",
                f"compare captions before and after in {self.report.name}: a score of few references misses much",
            ]
        steps = []
        if not self.early and self.best.step == self.last.step:
            steps.append("CIDEr-D was best at the end: go on with more epochs (--resume --max-epochs N)")
        steps.append(f"caption with it: pseudocap caption film.mp4 --checkpoint {self.captioner}")
        steps.append("score it on videos that had no part in this run: best was chosen on the validation videos")
        return steps

    def to_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name).to_dict() for name in ("baseline", "best", "last")},
            "change": {name: asdict(each) for name, each in self.change.items()},
            **{name: getattr(self, name) for name in ("improved", "stopped", "early", "steps", "batch_size")},
            "videos": self.best.videos,
            **{name: getattr(self, name) for name in ("warnings", "next")},
        }


def write_report(out: Path, tuned: Tuned, captioned: Sequence[Captioned], data: Mapping[str, Any]) -> None:
    """Write `results.json`, `report.md` and `curves.png` in the run's folder."""
    curves = draw_curves(out / METRICS, out / "curves.png", tuned.baseline)
    names = ("baseline", "best", "last")
    heads = [f"{name} (step {getattr(tuned, name).step:,})" for name in names]
    lines = ["# Fine-tuning", "", f"**{tuned.summary}.** {tuned.stopped}.", ""]
    lines += [f"**Warning:** {text}." for text in tuned.warnings]
    lines += ["", table_row("", *heads), "|---|---|---|---|"]
    lines += [table_row(name, *(_score(getattr(tuned, each), name) for each in names)) for name in tuned.after]
    losses = [getattr(tuned, each).loss for each in names]
    if None not in losses:
        lines.append(table_row("loss", *(f"{loss:.3f}" for loss in losses)))
    found = [getattr(tuned, each).by_modalities() for each in names]
    lines += [table_row(name, *(f"{each[name]:.2f}" for each in found)) for name in shared(found)]
    coverage = {name: f"{part['present']} of {part['videos']}" for name, part in data["coverage"].items()}
    lines += [
        "",
        f"Validation videos that could be decoded: {coverage.get('val', 'all')}. In brackets: 95 % intervals.",
    ]
    if curves:
        lines += ["", f"![losses and CIDEr-D over the steps]({curves.name})"]
    lines += ["", "## What to do next", "", *(f"- {text}" for text in tuned.next), ""]
    lines += ["## Captions", "", "| video | before | after | a reference |", "|---|---|---|---|"]
    for each in sorted(captioned, key=lambda each: each.key)[:EXAMPLES]:
        before, after = (measured.captions.get(each.key, "") for measured in (tuned.baseline, tuned.best))
        lines.append(table_row(each.key, before, after, each.references[0]))
    lines += ["", "```json", json.dumps(dict(data), indent=1), "```", ""]
    write_text(tuned.report, "\n".join(lines))
    write_text(out / RESULTS, json.dumps(tuned.to_dict(), indent=1) + "\n")


def shared(found: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the names that all have, in order: a run that an older version began has no groups at its start."""
    return [name for name in found[-1] if all(name in each for each in found)]


def _score(measured: ValidationResult, name: str) -> str:
    low, high = measured.intervals.get(name, (0.0, 0.0))
    return f"{measured.scores[name]:.2f} [{low:.2f}, {high:.2f}]"


def draw_curves(metrics: Path, target: Path, baseline: ValidationResult) -> Path | None:
    """Draw losses and validation CIDEr-D over the optimiser's steps, from step 0; None where nothing was logged."""
    loss, held_out, score = (read_metric(metrics, name) for name in ("train/loss", "val/loss", "val/CIDEr-D"))
    if not loss and not score:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    score = [(0, baseline.scores[CIDER]), *score]
    if baseline.loss is not None:
        held_out = [(0, baseline.loss), *held_out]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes, points, label in ((left, loss, "training"), (left, held_out, "validation"), (right, score, None)):
        marker = "." if len(points) < 60 else ""
        axes.plot([step for step, _ in points], [value for _, value in points], marker=marker, label=label)
    right.axhline(baseline.scores[CIDER], linestyle="--", color="grey", label="before fine-tuning")
    for axes, title in ((left, "loss"), (right, "validation CIDEr-D")):
        axes.set_title(title)
        axes.set_xlabel("optimiser step")
        axes.grid(alpha=0.3)
        axes.legend()
    with unfinished(target) as scratch:
        figure.savefig(scratch, dpi=120, format="png")
    return target


def read_metric(metrics: Path, name: str) -> list[tuple[int, float]]:
    """Return a metric by step; of a step that a resumed run took again, what it logged last."""
    if not metrics.is_file():
        return []
    with metrics.open(newline="", encoding="utf-8") as file:
        return sorted({int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}.items())
