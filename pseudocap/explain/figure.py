"""Draw explanations and gates with matplotlib, without pyplot: nothing is displayed, no state is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pseudocap.errors import InputError
from pseudocap.explain.arrays import ExplanationArrays, heat
from pseudocap.explain.gates import Histograms
from pseudocap.explain.sinks import without_sinks
from pseudocap.files.atomic import unfinished

PICTURES = (".png", ".pdf", ".svg")
COLUMNS = 6  # words beside one another
PARTS, STRIP = (3, 1), 1  # how high a word's picture, its frames and the sound are
BLUE, ORANGE, GREY = "#2f6db5", "#e0823d", "#9a9a9a"


def draw_explanation(explanation: ExplanationArrays, *, layer: int | None = None) -> Figure:
    """Draw a cell for each word: heat over the frame it looked at most, all frames as bars; the adapters below."""
    words = len(explanation.words)
    rows = max(1, -(-words // COLUMNS))
    parts = PARTS if explanation.spectrogram is None else (*PARTS, STRIP)  # of a word's cell, one below another
    tall = 2.75 * sum(parts) / sum(PARTS) * rows
    figure = new_figure(1.9 * COLUMNS, tall + 2.6)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[tall, 2.2])[:, 0]
    which = "the mean over the adapters" if layer is None else f"the adapter before layer {layer}"
    sinks = explanation.sinks(layer)
    if any(each.any() for each in sinks):
        which += "; crossed or grey: attention sinks, which every word gives the same"
    above.suptitle(f"{_plain(explanation.caption) or '(no words)'}\n{which}", fontsize=11)
    cells = above.subplots(len(parts) * rows, COLUMNS, height_ratios=list(parts) * rows, squeeze=False)
    for axes in cells.flat:
        axes.axis("off")
    for word in range(words):
        row, column = divmod(word, COLUMNS)
        picture, bars, *strip = cells[len(parts) * row : len(parts) * (row + 1), column]
        _draw_word(picture, bars, explanation, word, layer, sinks)
        for axes in strip:
            _draw_sound(axes, explanation, word, layer)
    _draw_adapters(below.subplots(1, 2), explanation)
    return figure


def draw_gates(histograms: Histograms, title: str) -> Figure:
    """Draw a histogram for each gate, all over the same bins."""
    names = list(dict.fromkeys(gate.name for gate in histograms.gates))
    layers = list(dict.fromkeys(gate.layer for gate in histograms.gates))
    figure = new_figure(4.6 * len(names), 1.0 + 1.35 * len(layers))
    figure.suptitle(_plain(title), fontsize=11)
    grid = figure.subplots(len(layers), len(names), sharex=True, squeeze=False)
    for gate, counts in zip(histograms.gates, histograms.counts, strict=True):
        axes = grid[layers.index(gate.layer), names.index(gate.name)]
        axes.stairs(counts, histograms.edges, fill=True, color=BLUE)
        axes.axvline(float(gate.values.mean()), color=ORANGE, linewidth=1)
        axes.set_title(f"before layer {gate.layer}: {gate.name}, mean {gate.values.mean():.3f}", fontsize=8)
        axes.tick_params(labelsize=7)
    return figure


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure under its name only once it is complete."""
    if path.suffix not in PICTURES:
        raise InputError(f"{path}: a figure is a {', '.join(PICTURES)} file; an explanation's arrays are .npz")
    with unfinished(path) as scratch:
        figure.savefig(scratch, dpi=130, format=path.suffix.removeprefix("."))


def _plain(text: str) -> str:
    """Escape dollars: matplotlib would take what stands between them for a formula."""
    return text.replace("$", r"\$")


def _draw_word(
    picture: Axes,
    bars: Axes,
    explanation: ExplanationArrays,
    word: int,
    layer: int | None,
    sinks: tuple[np.ndarray, np.ndarray],
) -> None:
    time, space = explanation.looked(word, layer)
    time_sinks, space_sinks = sinks
    most = int(without_sinks(time, time_sinks).argmax())
    height, width = explanation.frames.shape[1:3]
    picture.imshow(explanation.frames[most])
    cells = heat(without_sinks(space, space_sinks))
    # Faint where little is looked at: the picture stays to be seen.
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    picture.imshow(cells, cmap="inferno", alpha=0.75 * cells, vmin=0, vmax=1, extent=extent, interpolation="nearest")
    rows, columns = np.nonzero(space_sinks)
    across, down = width / space.shape[1], height / space.shape[0]
    picture.scatter(
        (columns + 0.5) * across - 0.5, (rows + 0.5) * down - 0.5, marker="x", s=30, c="white", linewidths=1
    )
    picture.set_title(_plain(explanation.words[word]), fontsize=10)
    bars.axis("on")
    colours = [ORANGE if frame == most else GREY if sink else BLUE for frame, sink in enumerate(time_sinks)]
    bars.bar(np.arange(len(time)), time, color=colours, width=0.85)
    bars.set_ylim(0, 1)
    bars.set_yticks([])
    bars.set_xticks([most], [f"{explanation.times[most]:.1f} s"], fontsize=7)
    bars.spines[["top", "right", "left"]].set_visible(False)


def _draw_sound(axes: Axes, explanation: ExplanationArrays, word: int, layer: int | None) -> None:
    """Draw the spectrogram with the share of each moment as a bar over it."""
    assert explanation.spectrogram is not None
    assert explanation.sound_times is not None
    shares, sinks = explanation.listened(word, layer), explanation.sound_sinks(layer)
    moments = len(shares)
    axes.axis("on")
    axes.imshow(
        explanation.spectrogram, cmap="Greys", alpha=0.5, aspect="auto", extent=(-0.5, moments - 0.5, 0, 1), vmax=400
    )
    most = int(without_sinks(shares, sinks).argmax())
    colours = [ORANGE if at == most else GREY if sink else BLUE for at, sink in enumerate(sinks)]
    axes.bar(np.arange(moments), shares / max(float(shares.max()), 2 / moments), color=colours, width=0.85)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_xticks([most], [f"{explanation.sound_times[most]:.1f} s"], fontsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_adapters(pair: np.ndarray, explanation: ExplanationArrays) -> None:
    """Draw how much the adapters add, on the average over the words, and how far their gates are open."""
    ticks = np.arange(len(explanation.layers))
    labels = [f"layer {layer}" for layer in explanation.layers]
    shares, gates = pair
    if explanation.words:
        shares.bar(ticks - 0.2, explanation.added.mean(axis=0), width=0.4, color=BLUE, label="what the adapter adds")
        shares.bar(ticks + 0.2, explanation.by_video.mean(axis=0), width=0.4, color=ORANGE, label="of it, by the video")
        shares.legend(fontsize=7)
    shares.set_title("share of the stream's norm", fontsize=9)
    names = list(explanation.gates)
    for number, name in enumerate(names):
        width = 0.8 / len(names)
        rows = list(explanation.gates[name].astype(float))
        gates.boxplot(rows, positions=ticks + (number - (len(names) - 1) / 2) * width, widths=0.8 * width, sym="")
    gates.set_title(f"gates: {', '.join(names)}", fontsize=9)
    for axes in (shares, gates):
        axes.set_xticks(ticks, labels)
        axes.tick_params(labelsize=7)
