"""Write the benchmark's result for people: a Markdown table in the papers' form, and figures as PNG."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.bench.tables import table
from pseudocap.evaluate.views import VIEWS
from pseudocap.files.atomic import write_text
from pseudocap.metrics.measures import METRICS
from pseudocap.regimes.table import UNTRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = Mapping[str, Any]


def write_results(out: Path, results: Document) -> list[Path]:
    """Write `table.md`, the figures and, last, `results.json`."""
    out.mkdir(parents=True, exist_ok=True)
    figures = [
        draw(out / "regimes.png", lambda axes: _draw_regimes(axes, results), "regimes after fine-tuning"),
        draw(out / "captions.png", lambda axes: _draw_captions(axes, results), "by captions learned from"),
        draw(out / "time.png", lambda axes: _draw_ways(axes, results), "what each way of showing is worth"),
    ]
    return [*figures, *write_table(out, results_table(results), results)]


def write_table(out: Path, lines: Iterable[str], results: Document) -> list[Path]:
    write_text(out / "table.md", "\n".join(lines) + "\n")
    write_text(out / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return [out / "table.md", out / "results.json"]


# The table


def results_table(results: Document) -> list[str]:
    sections = (_heading, _main_table, _claims, _beside, _fewer, _truth, _duplicates)
    return lines_of(paragraph for section in sections for paragraph in section(results))


def lines_of(paragraphs: Iterable[str]) -> list[str]:
    """Put a blank line between paragraphs."""
    return "\n\n".join(paragraphs).split("\n")


def _heading(results: Document) -> Iterator[str]:
    seeds, coverage = results["seeds"], results["data"]["coverage"]
    yield f"# Regimes on {results['corpus']}"
    if results["corpus"].startswith("toy"):
        yield (
            "Toy results: the world is drawn to the papers' assumptions; they show the method and prove nothing of\n"
            "real video."
        )
    yield f"    {results['command']}"
    text = (
        f"{results['test films']:,} test films, greedy decoding, seeds {', '.join(map(str, seeds))}. Intervals are "
        f"95 %: {kind_of_intervals(seeds)} Fine-tuning is the same for all."
    )
    if isinstance(coverage, str):  # of the toy films, which are all there
        yield text
    elif coverage["missing"] or coverage["undecodable"]:
        yield f"{text}\n**Not all test videos could be decoded**: {json.dumps(coverage)}."
    else:
        yield f"{text}\nAll {coverage['test videos']:,} test videos are there and can be decoded."


def kind_of_intervals(seeds: Sequence[int]) -> str:
    if len(seeds) > 1:
        return "Student's t over seeds."
    return "one seed has none over seeds; the bootstrap over films is given instead."


def _main_table(results: Document) -> Iterator[str]:
    claimed = "claimed, on MSR-VTT's validation, other backbones: CIDEr"
    rows = []
    for name, regime in results["regimes"].items():
        cells = [interval_text(regime["scores"]["as it is"][metric]) for metric in METRICS]
        before = mean_text(regime["scores"]["zero-shot"]["CIDEr-D"]) if "zero-shot" in regime["scores"] else ""
        steps = "elsewhere" if regime["steps"] is None else f"{regime['steps']:,}"
        rows.append((name, steps, *cells, before, "", regime["claimed on MSR-VTT"] or ""))
    for text, key in (("people, one against the other 19", "people"), ("the whole truth, plainly", "whole truth")):
        if results.get(key):
            rows.append((text, "", *(f"{results[key][metric]:.1f}" for metric in METRICS), "", "", ""))
    yield table(("regime", "steps", *METRICS, "before fine-tuning", "", claimed), rows)
    if shared := [name for name, regime in results["regimes"].items() if regime["one pre-training for all seeds"]]:
        yield f"All seeds of {', '.join(shared)} begin with one captioner: their intervals are of fine-tuning alone."
    if UNTRAINED in results["regimes"]:
        yield f"`{UNTRAINED}` goes into fine-tuning with new adapters, without pre-training."


def mean_text(mean: Document) -> str:
    interval = mean["interval over seeds"]
    return f"{mean['mean']:.1f}" + ("" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.1f}")


def interval_text(mean: Document) -> str:
    """Format a mean with the interval over films, where the mean is of one seed and that is known."""
    if "interval over films" not in mean:
        return mean_text(mean)
    low, high = mean["interval over films"]
    return f"{mean_text(mean)} ({low:.1f} to {high:.1f} over films)"


def _claims(results: Document) -> Iterator[str]:
    yield "## Do the papers' claims hold here?"
    if not results["claims"]:
        yield "None could be judged: the regimes that they compare were not both run."
        return
    yield (
        "A claim holds where both paired intervals lie above 0. The one over seeds is Student's t, for other\n"
        "trainings; the one over films is the bootstrap, for other films. The papers claim it after fine-tuning on\n"
        "all captions; the rows after fewer say whether it holds for whoever has fewer."
    )
    fewer = {f"{int(number):,} captions": claims for number, claims in reversed(results["claims by captions"].items())}
    rows = []
    for when, claims in {"all": results["claims"], **fewer, "none": results["claims before fine-tuning"]}.items():
        for each in claims:
            intervals = [each[f"interval over {what}"] for what in ("seeds", "films")]
            over = ["one seed" if each is None else f"{each[0]:+.1f} to {each[1]:+.1f}" for each in intervals]
            what = f"{each['difference'].partition(',')[0]}: {each['mean']:+.1f}"
            rows.append((each["claim"], when, what, *over, f"**{each['verdict']}**"))
    yield table(("claim", "fine-tuning", "CIDEr-D difference", "over seeds", "over films", "verdict"), rows)


def _beside(results: Document) -> Iterator[str]:
    yield "## Does it use time?"
    yield "CIDEr-D of the same captioners, given the films in other ways; blind is a memory of zeros."
    yield _means_by_regime(results, shared_views(results), lambda regime, view: regime["scores"][view]["CIDEr-D"])


def shared_views(results: Document) -> list[str]:
    return [view for view in VIEWS if all(view in each["scores"] for each in results["regimes"].values())]


def _fewer(results: Document) -> Iterator[str]:
    numbers = list(next(iter(results["regimes"].values()))["by captions"])
    if numbers == ["all"]:
        return
    yield "## By the number of captions that the fine-tuning had"
    yield _means_by_regime(results, numbers, lambda regime, number: regime["by captions"][number])
    yield "Which captions are drawn depends on the seed. The validation, which decides when to stop, is always full."


def _means_by_regime(results: Document, columns: Sequence[str], mean_of: Callable[[Document, str], Document]) -> str:
    rows = [
        (name, *(mean_text(mean_of(regime, column)) for column in columns))
        for name, regime in results["regimes"].items()
    ]
    return table(("regime", *columns), rows)


def _truth(results: Document) -> Iterator[str]:
    yield "## What the captions say"
    truths = all("truth" in regime for regime in results["regimes"].values())
    more = ("correct", "made up, of the things named", "blind: made up") if truths else ()
    rows = []
    for name, regime in results["regimes"].items():
        language = regime["language"]
        shares = [f"{100 * language[key]:.1f} %" for key in ("distinct_1", "distinct_2")]
        cells = [f"{100 * language['distinct_captions']:.1f} %", f"{language['vocabulary']:.0f}", *shares]
        cells.append(f"{language['mean_length']:.1f}")
        if truths:
            plain, blind = regime["truth"]["as it is"], regime["truth"]["blind"]
            made_up = "made up of the things named"
            cells += [f"{plain['correct']:.1f} %", f"{plain[made_up]:.1f} %", f"{blind[made_up]:.1f} %"]
        rows.append((name, *cells))
    names = ("different captions", "different words", "words, of all", "pairs, of all", "mean length")
    yield table(("regime", *names, *more), rows)
    if truths:
        yield "Held against the exact scenes; means over seeds."


def _duplicates(results: Document) -> Iterator[str]:
    found = results["duplicates"]
    yield "## Near-duplicates of test videos in pre-training"
    if found is None:
        yield "Not looked for: no tars of images or clips were given (memories do not show what they were made of)."
        return
    yield (
        f"{len(found['duplicates'])} of {found['test videos']:,} test videos, against {found['compared with']:,} "
        f"samples (correlation of thumbnails from {found['threshold']} on, `pseudocap/bench/claims/duplicates.py`)."
    )


# The figures


def draw(path: Path, onto: Callable[[Axes], None], title: str) -> Path:
    from pseudocap.explain.figure import new_figure, save_figure

    figure = new_figure(7.5, 4)
    axes = figure.subplots()
    axes.set_title(title)
    axes.grid(alpha=0.3)
    onto(axes)
    save_figure(figure, path)
    return path


def draw_means(axes: Axes, positions: Iterable[Any], means: Sequence[Document], **style: Any) -> None:
    axes.errorbar(
        list(positions), [mean["mean"] for mean in means], yerr=_error_bars(means), capsize=3, marker="o", **style
    )
    kinds = {"films" if "interval over films" in mean else "seeds" for mean in means}
    axes.set_ylabel(f"CIDEr-D, 95 % over {' or '.join(sorted(kinds, reverse=True))}")


def _error_bars(means: Sequence[Document]) -> list[tuple[float, ...]] | None:
    """Return how far intervals reach below and above; nothing for a single seed without an interval over films."""
    pairs = []
    for mean in means:
        low, high = mean["interval over seeds"] or mean.get("interval over films") or (mean["mean"], mean["mean"])
        pairs.append((mean["mean"] - low, high - mean["mean"]))
    return list(zip(*pairs, strict=True)) or None


def _draw_regimes(axes: Axes, results: Document) -> None:
    names = list(results["regimes"])
    for offset, way in enumerate(("as it is", "zero-shot")):
        rows = [results["regimes"][name]["scores"].get(way) for name in names]
        if any(row is None for row in rows):
            continue
        means = [row["CIDEr-D"] for row in rows]
        positions = [position + (offset - 0.5) * 0.35 for position in range(len(names))]
        label = "fine-tuned" if way == "as it is" else "before fine-tuning"
        heights, spread = [mean["mean"] for mean in means], _error_bars(means)
        axes.bar(positions, heights, width=0.35, yerr=spread, capsize=3, label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("CIDEr-D, 95 % over seeds")
    axes.legend()


def _draw_captions(axes: Axes, results: Document) -> None:
    for name, regime in results["regimes"].items():
        means = regime["by captions"]
        draw_means(axes, means, list(means.values()), label=name)
    axes.set_xlabel("captions that the fine-tuning had")
    axes.legend()


def _draw_ways(axes: Axes, results: Document) -> None:
    ways = shared_views(results)
    for number, (name, regime) in enumerate(results["regimes"].items()):
        aside = (number + 0.5) / len(results["regimes"]) - 0.5  # side by side, or they cover one another
        means = [regime["scores"][way]["CIDEr-D"] for way in ways]
        draw_means(axes, [position + 0.7 * aside for position in range(len(ways))], means, linestyle="", label=name)
    axes.set_xticks(range(len(ways)), ways)
    axes.legend()
