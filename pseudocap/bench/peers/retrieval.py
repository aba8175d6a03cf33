"""Compare retrievers on the same videos of a split, in one table: `pseudocap bench retrieval DATA`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pseudocap.bench.claims.report import lines_of
from pseudocap.bench.machine import machine
from pseudocap.bench.tables import table
from pseudocap.data.corpora.base import Mismatch
from pseudocap.evaluate.retriever import RetrievalTask
from pseudocap.metrics.resample import Interval
from pseudocap.metrics.retrieval import NAMES, RSUM, BothDirections

DIRECTIONS = {"text to video": "forward", "video to text": "backward"}


def retrieval_document(
    scores: Mapping[str, BothDirections],
    task: RetrievalTask,
    faults: Mapping[str, str],
    *,
    leaks: tuple[Mismatch, ...] = (),
    **settings: Any,
) -> dict[str, Any]:
    """Return the result as one document; `settings` are what it was measured with."""
    kept = task.without(faults)
    return {
        **settings,
        **machine(),
        "data": task.corpus.provenance(),
        "coverage": {
            "videos": len(kept.rows),
            "texts": len(kept.texts),
            "missing": list(task.missing),
            "undecodable": dict(faults),
        },
        "trained on": [{"what": leak.what, "found": leak.found} for leak in leaks],
        "retrievers": [{"name": name, **figures_of(both)} for name, both in scores.items()],
    }


def figures_of(both: BothDirections) -> dict[str, Any]:
    """Return the scores of both directions and their sum, each with its interval."""
    figures: dict[str, Any] = {
        direction: {name: _figure(value, scores.intervals.get(name)) for name, value in scores.items()}
        for direction, attribute in DIRECTIONS.items()
        for scores in [getattr(both, attribute)]
    }
    return figures | {RSUM: _figure(both.rsum, both.rsum_interval)}


def _figure(value: float, interval: Interval | None) -> dict[str, Any]:
    spread = None if interval is None else [round(interval.low, 2), round(interval.high, 2)]
    return {"value": round(value, 2), "interval": spread}


def retrieval_table(document: Mapping[str, Any]) -> list[str]:
    """Write the document for people: one row for each retriever and direction."""
    return lines_of(_paragraphs(document))


def _paragraphs(document: Mapping[str, Any]) -> Iterator[str]:
    coverage, data = document["coverage"], document["data"]
    yield f"    {document['command']}"
    (split,) = data["splits"]
    text = f"{coverage['texts']:,} texts and {coverage['videos']:,} videos of {data['corpus']} {split}"
    if document["bootstrap"]:
        text += "; in brackets intervals of 95 %, over videos drawn with all of their texts"
    yield f"{text}. Ties count against the retriever."
    if coverage["missing"] or coverage["undecodable"]:
        absent, broken = len(coverage["missing"]), len(coverage["undecodable"])
        yield f"**Left out**: {absent} videos that are not there, {broken} that cannot be decoded."
    for each in data["mismatches"]:
        yield f"**Allowed**: {each['found']:,} {each['what']}, expected {each['expected']:,}."
    for each in document["trained on"]:
        yield f"**Leak**: {each['found']:,} {each['what']}."
    rows = []
    for each in document["retrievers"]:
        for direction in DIRECTIONS:
            rsum = _cell(each[RSUM]) if direction == next(iter(DIRECTIONS)) else ""
            rows.append((each["name"], direction, *(_cell(each[direction][name]) for name in NAMES), rsum))
    yield table(("retriever", "direction", *NAMES, RSUM), rows)


def _cell(figure: Mapping[str, Any]) -> str:
    spread = figure["interval"]
    return f"{figure['value']:.1f}" + (f" ({spread[0]:.1f} to {spread[1]:.1f})" if spread else "")
