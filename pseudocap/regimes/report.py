"""Report fine-tuning for people: curves as PNG, scores and captions before and after, as Markdown."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.files.atomic import unfinished, write_text
from pseudocap.regimes.validation import Captioned, table_row

EXAMPLES = 12


def write_report(
    out: Path,
    *,
    before: Mapping[str, float],
    after: Mapping[str, float],
    captions_before: Sequence[Captioned],
    captions_after: Sequence[Captioned],
    data: Mapping[str, Any],
) -> Path:
    """Write `report.md` and `curves.png` in the run's folder; return the path of the first."""
    curves = draw_curves(out / "metrics.csv", out / "curves.png")
    lines = ["# Fine-tuning", "", "| | before | after |", "|---|---|---|"]
    lines += [f"| {name} | {before[name]:.2f} | {value:.2f} |" for name, value in after.items()]
    if after["CIDEr-D"] <= before["CIDEr-D"]:
        lines += ["", "**CIDEr-D never rose**: `best` is what was started from, `last` the captioner that learned."]
    coverage = {name: f"{part['present']} of {part['videos']}" for name, part in data["coverage"].items()}
    lines += ["", f"Validation videos that could be decoded: {coverage.get('val', 'all')}."]
    if curves:
        lines += ["", f"![loss and CIDEr-D over the steps]({curves.name})"]
    earlier = {each.key: each.caption for each in captions_before}
    lines += ["", "| video | before | after | a reference |", "|---|---|---|---|"]
    for each in sorted(captions_after, key=lambda each: each.key)[:EXAMPLES]:
        lines.append(table_row(each.key, earlier.get(each.key, ""), each.caption, each.references[0]))
    lines += ["", "```json", json.dumps(dict(data), indent=1), "```", ""]
    path = out / "report.md"
    write_text(path, "\n".join(lines))
    return path


def draw_curves(metrics: Path, target: Path) -> Path | None:
    """Draw training loss and validation CIDEr-D over the optimiser's steps; None where nothing was logged."""
    loss, score = _column(metrics, "train/loss"), _column(metrics, "val/CIDEr-D")
    if not loss and not score:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, points, title in zip(
        figure.subplots(1, 2), (loss, score), ("training loss", "validation CIDEr-D"), strict=True
    ):
        axes.plot([step for step, _ in points], [value for _, value in points], marker="." if len(points) < 60 else "")
        axes.set_title(title)
        axes.set_xlabel("optimiser step")
        axes.grid(alpha=0.3)
    with unfinished(target) as scratch:
        figure.savefig(scratch, dpi=120, format="png")
    return target


def _column(metrics: Path, name: str) -> list[tuple[int, float]]:
    if not metrics.is_file():
        return []
    with metrics.open(newline="", encoding="utf-8") as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]
