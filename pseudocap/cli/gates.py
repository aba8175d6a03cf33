"""Report how far the adapters of a checkpoint opened, layer by layer: `pseudocap zoo show N --gates`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.tables import print_table

if TYPE_CHECKING:
    from pseudocap.explain.gates import Histograms


MIXING = "how much each adapter takes of each axis"  # the norms of the blocks of W_mix


def show_gates(name: str, *, checkpoints: str | None, out: Path | None, as_json: bool) -> int:
    """Report the gates of a checkpoint: a row, a directory, a repo. Its backbones are not needed."""
    from pseudocap.explain.gates import count_gates, read_gates, read_mixing
    from pseudocap.hub.checkpoint import read_config
    from pseudocap.hub.fetch import WEIGHTS_FILE, fetch

    folder = fetch(name, checkpoints=checkpoints).folder
    config = read_config(folder)
    histograms = count_gates(read_gates(folder / WEIGHTS_FILE, config))
    mixing = read_mixing(folder / WEIGHTS_FILE, config)
    if out is not None:
        from pseudocap.explain.figure import draw_gates, save_figure

        save_figure(draw_gates(histograms, f"gates of {name}"), out)
    if as_json:
        print(json.dumps({**_document(name, histograms), **({"mix": mixing} if mixing else {})}))
        return 0
    _print_table(name, histograms)
    if mixing:
        _print_mixing(mixing, config.axes)
    if out is not None:
        print(f"drawn in {out}")
    return 0


def _print_mixing(mixing: Mapping[int, Mapping[str, float]], axes: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD

    rows = [(layer, *(f"{of_axes[axis]:.3f}" for axis in axes)) for layer, of_axes in mixing.items()]
    look: Any = {"box": SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
    print_table(MIXING, ("layer", *axes), rows, left=(), **look)


def _document(name: str, histograms: Histograms) -> dict[str, object]:
    gates = [
        {
            "layer": gate.layer,
            "gate": gate.name,
            "values": gate.values.size,
            "mean": float(gate.values.mean()),
            "min": float(gate.values.min()),
            "max": float(gate.values.max()),
            "counts": counts.tolist(),
        }
        for gate, counts in zip(histograms.gates, histograms.counts, strict=True)
    ]
    return {"name": name, "edges": histograms.edges.round(6).tolist(), "gates": gates}


def _print_table(name: str, histograms: Histograms) -> None:
    from rich.box import SIMPLE_HEAD

    from pseudocap.explain.gates import sparkline

    low, high = histograms.edges[[0, -1]]
    headings = ("layer", "gate", "n", "mean", "min", "max", f"from {low:.2f} to {high:.2f}")
    rows = []
    for gate, counts in zip(histograms.gates, histograms.counts, strict=True):
        figures = (f"{value:.3f}" for value in (gate.values.mean(), gate.values.min(), gate.values.max()))
        rows.append((gate.layer, gate.name, gate.values.size, *figures, sparkline(counts)))
    title, left = f"gates of {name}, by the decoder layer behind the adapter", (headings[1], headings[-1])
    print_table(title, headings, rows, left=left, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
