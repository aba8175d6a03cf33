"""Print the rows that have a name here: captioners of ours, those of other projects, and published figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pseudocap.cli.tables import print_table

if TYPE_CHECKING:
    from pseudocap.hub.manifest import Row

VIDEO_CAPTIONS = ("msrvtt", "msvd", "vatex")  # whose captions are of real video
CIDER = "CIDEr"
Figures = dict[str, dict[str, float]]  # by dataset and model, the best model first


def print_rows(rows: Mapping[str, Row]) -> None:
    """Print a table of ours, one of other projects' captioners, and which of all describes real video best."""
    ours = [row for row in rows.values() if not row.external]
    others = [row for row in rows.values() if row.external]
    if ours:
        _print(("name", "regime", "scores", "license"), ours, _own_cells)
    if others:
        print("\nCaptioners of other projects (pseudocap caption --checkpoint NAME);")
        print("accuracy is of questions answered about videos, and measures no captions\n")
        _print(("name", "sees", "size", "license", "published figure"), others, _others_cells)
        _print_published(others)


def whence(row: Row) -> str:
    """Return which registry a row is of."""
    if row.shipped:
        return "the package"
    return f"{row.registry}{', in place of the shipped row' if row.replaces_shipped else ''}"


def _print(headings: tuple[str, ...], rows: list[Row], cells: Callable[[Row], tuple[str, ...]]) -> None:
    """Print rows; where some are of another registry than the package's, a column says so."""
    from rich.box import SIMPLE_HEAD

    some = any(not row.shipped for row in rows)
    headings = (*headings, "in") if some else headings
    table = [(*cells(row), *((whence(row).removeprefix("the "),) if some else ())) for row in rows]
    print_table("", headings, table, left=headings, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))


def _own_cells(row: Row) -> tuple[str, ...]:
    return row.name, row.values["regime"], _scores(row), row.values["license"]


def _others_cells(row: Row) -> tuple[str, ...]:
    size = row.values["weights"].get("gigabytes")
    sees, size = row.values.get("sees", ""), "" if size is None else f"{size:.1f} GB"
    return row.name, sees, size, row.values["license"], _best_figure(row)


def _scores(row: Row) -> str:
    """Return the first figure of each dataset, in two short lines; `zoo show` has all."""
    lines = []
    for score in row.values["scores"]:
        first = list((score.get("metrics") or {}).items())[:1]
        where = " ".join(str(score[part]) for part in ("dataset", "split") if score.get(part))
        lines += [f"{where}:", *(f"{name} {_figure(value)}" for name, value in first)]
    return "\n".join(lines)


def _best_figure(row: Row) -> str:
    """Return the figure that says most of real video: of captions of videos, else the first."""
    scores = sorted(row.values["scores"], key=lambda score: score.get("dataset") not in VIDEO_CAPTIONS)
    for score in scores[:1]:
        for name, value in list(score["metrics"].items())[:1]:
            return f"{score.get('dataset', '')} {name} {value}".strip()
    return ""


def _figure(value: object) -> str:
    """Format a metric: a number, or a mapping with its value and interval."""
    if isinstance(value, dict):
        value = value.get("value")
    return f"{value:.1f}" if isinstance(value, int | float) else str(value)


def _print_published(others: Iterable[Row]) -> None:
    """Print who describes real video best, as published, and what of that can be loaded here."""
    from rich.box import SIMPLE_HEAD

    from pseudocap.hub.manifest import read_published

    named = {row.name: row.values["scores"] for row in others}
    entries = {entry["name"]: entry["scores"] for entry in read_published()}
    figures = published_figures(named | entries)
    if not figures:
        return
    print("\nWhat describes real video best, as published (CIDEr; docs/zoo.md cites each)\n")
    models = dict.fromkeys(model for dataset in figures for model in figures[dataset])
    cells = [
        (model, *(_figure(figures[dataset].get(model, "")) for dataset in figures), "yes" if model in named else "no")
        for model in models
    ]
    headings = ("model", *figures, "loads here")
    left = ("model", "loads here")
    print_table("", headings, cells, left=left, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for line in comparisons(figures, named):
        print(textwrap.fill(line, 80, subsequent_indent="  ", break_on_hyphens=False))


def published_figures(scores: Mapping[str, Iterable[Mapping[str, Any]]]) -> Figures:
    """Return the CIDEr of captions of real video of each model that has one, by dataset, the best model first."""
    found: Figures = {}
    for dataset in VIDEO_CAPTIONS:
        of = {
            model: score["metrics"][CIDER]
            for model, each in scores.items()
            for score in each
            if score.get("dataset") == dataset and isinstance(score["metrics"].get(CIDER), int | float)
        }
        if of:
            found[dataset] = dict(sorted(of.items(), key=lambda pair: -pair[1]))
    return found


def comparisons(figures: Figures, named: Iterable[str]) -> Iterator[str]:
    """Report of each dataset which model that loads here is best, and how far from the next and from the best."""
    loads = set(named)
    for dataset, of in figures.items():
        here = [model for model in of if model in loads]
        if not here:
            continue
        best, *others = here
        leader = next(iter(of))
        parts = [f"{of[best] - of[others[0]]:.1f} above {others[0]}"] if others else []
        parts += [f"{of[leader] - of[best]:.1f} below {leader}"] if leader != best else []
        yield f"best on {dataset} of those that load here: {', '.join([f'{best} {of[best]:.1f}', *parts])}"
