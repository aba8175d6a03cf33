"""Report an ablation's result: one document, one table, one figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.bench.claims import report
from pseudocap.bench.claims.ablations import Ablation, Arm, find_ablation
from pseudocap.bench.claims.cells import Cell
from pseudocap.bench.claims.regimes import Bench, provenance
from pseudocap.bench.claims.results import mean_document, over_films
from pseudocap.bench.machine import machine
from pseudocap.bench.tables import table
from pseudocap.evaluate.captioner import ZERO_SHOT
from pseudocap.evaluate.views import PLAIN
from pseudocap.metrics.measures import METRICS
from pseudocap.regimes.table import UNTRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gather_ablation(
    name: str,
    bench: Bench,
    arms: Sequence[tuple[Arm, Sequence[Cell]]],
    *,
    command: str,
    ablation: Ablation | None = None,
    beside: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Summarise all arms. `ablation` is that of the name where none is given; `beside` has further figures of each arm,
    which get columns of their own."""
    ablation, cells = ablation or find_ablation(name), arms[0][1]
    reports = bench.shop.reports
    return {
        "ablation": name,
        "question": ablation.question,
        "claimed": ablation.claimed,
        "note": ablation.note,
        "command": command,
        **machine(),
        "data": provenance(bench),
        "decoding": {"beams": 1, "max_new_tokens": 32},
        "settings": dataclasses.asdict(cells[0].plan) | {"steps": "those of each arm"},
        "seeds": [cell.seed for cell in cells],
        "arms": [
            arm_document(arm, [reports[cell.stage(bench.ground, "measured")] for cell in each], each[0])
            | ({"beside": dict(figures)} if figures else {})
            for (arm, each), figures in zip(arms, beside or [{}] * len(arms), strict=True)
        ],
    }


def arm_document(arm: Arm, reports: Sequence[Mapping[str, Any]], cell: Cell) -> dict[str, Any]:
    """Summarise an arm. Means are of the seeds that did not diverge."""
    finished = [each for each in reports if "diverged" not in each]
    document: dict[str, Any] = {
        "settings": dict(arm.settings),
        "regime": arm.regime,
        "steps": 0 if arm.regime == UNTRAINED else cell.plan.steps_of(arm.regime),
        "training": list(cell.training),
        "tuning": list(cell.tuning),
        "diverged": len(reports) - len(finished),
        "scores": {},
    }
    if finished:
        document["scores"] = {
            way: {name: mean_document([each["scores"][way][name] for each in finished]) for name in METRICS}
            for way in (PLAIN, ZERO_SHOT)
        }
        if len(finished) == 1:
            document["scores"][PLAIN]["CIDEr-D"] |= over_films(finished[0])
    return document


def write_ablation(out: Path, result: Mapping[str, Any]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    figure = report.draw(out / "figure.png", lambda axes: _draw(axes, result), result["question"])
    return [figure, *report.write_table(out, ablation_table(result), result)]


def ablation_table(result: Mapping[str, Any]) -> list[str]:
    settings, seeds = list(result["arms"][0]["settings"]), result["seeds"]
    columns = [name for name in settings if name != "steps"]  # which every table has
    rows = []
    for arm in result["arms"]:
        cells = ["-"] * (len(METRICS) + 1)
        if scores := arm["scores"]:
            cells = [report.interval_text(scores[PLAIN][metric]) for metric in METRICS]
            cells.append(report.mean_text(scores[ZERO_SHOT]["CIDEr-D"]))
        chosen = (*(arm["settings"][column] for column in columns), *map(_figure, arm.get("beside", {}).values()))
        rows.append((*chosen, f"{arm['steps']:,}", *cells, f"{arm['diverged']} of {len(seeds)}"))
    paragraphs = (
        f"# {result['ablation']}: {result['question']}",
        f"The papers: {result['claimed']}. Below are toy results, seeds {', '.join(map(str, seeds))}.\n"
        + f"Intervals are 95 %: {report.kind_of_intervals(seeds)} {result['note']}".rstrip(),
        f"    {result['command']}",
        table(
            (
                *columns,
                *result["arms"][0].get("beside", ()),
                "steps",
                *METRICS,
                "before fine-tuning: CIDEr-D",
                "diverged",
            ),
            rows,
        ),
    )
    return report.lines_of(paragraphs)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _draw(axes: Axes, result: Mapping[str, Any]) -> None:
    arms = [arm for arm in result["arms"] if arm["scores"]]
    labels = ["\n".join(f"{key} {value}" for key, value in arm["settings"].items()) for arm in arms]
    report.draw_means(axes, range(len(arms)), [arm["scores"][PLAIN]["CIDEr-D"] for arm in arms], linestyle="")
    axes.set_xticks(range(len(arms)), labels, fontsize=7)
    axes.set_ylim(bottom=0)  # or small differences look large
    axes.margins(x=0.08)
