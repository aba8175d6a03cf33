"""Gather finished cells into one document: `results.json`, of which the table and the figures are drawn."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import Cell
from pseudocap.bench.claims.certainty import CLAIMS, Judged, judge_claim, mean_over_seeds
from pseudocap.bench.claims.measured import Measured, read_measured
from pseudocap.bench.claims.regimes import Bench, provenance
from pseudocap.bench.machine import machine
from pseudocap.evaluate.captioner import references_of
from pseudocap.evaluate.views import PLAIN
from pseudocap.hub.checkpoint import read_config
from pseudocap.metrics.resample import Interval
from pseudocap.metrics.suite import Scores
from pseudocap.regimes.table import REGIMES, UNTRAINED

OF_A_CELL = ("scores", "intervals over films", "seconds", "commit")


def gather(bench: Bench, *, command: str) -> dict[str, Any]:
    """Read every cell back. All of them must be finished."""
    references = references_of(bench.ground.films())
    stages = {cell: cell.stage(bench.ground, "measured") for cell in bench.cells}
    reports = bench.shop.reports
    found = {
        cell: read_measured(bench.shop.folder(stage), reports[stage], references) for cell, stage in stages.items()
    }
    plain = {(cell.regime, cell.seed): each for cell, each in found.items() if cell.captions is None}
    regimes = list(dict.fromkeys(cell.regime for cell in bench.cells))
    before = {key: each.before for key, each in plain.items() if each.before is not None}
    return {
        "command": command,
        **machine(),
        "corpus": bench.corpus,
        "data": provenance(bench),
        "test films": len(references),
        "decoding": {"beams": 1, "max_new_tokens": 32},
        "seeds": sorted({cell.seed for cell in bench.cells}),
        "settings": dataclasses.asdict(bench.cells[0].plan),
        "captioner": _captioner(bench),
        "files": {f"{regime}, seed {seed}": dict(own) for (regime, seed), own in bench.ground.identities.items()},
        "regimes": {regime: _regime(regime, found, bench.ground.started.get(regime)) for regime in regimes},
        "claims": _claims(_after(found, None)),
        "claims by captions": claims_by_captions(found),
        "claims before fine-tuning": _claims(before),
        "people": reports.get("yardsticks", {}).get("one person against the other 19"),
        "whole truth": reports.get("yardsticks", {}).get("the whole truth"),
        "duplicates": reports[bench.duplicates] if bench.duplicates else None,
    }


def _captioner(bench: Bench) -> dict[str, Any]:
    """Return the recipe of the first cell's captioner, with its backbones' fingerprints; without where these lie."""
    folder = bench.shop.folder(bench.cells[0].stage(bench.ground, "tuned")) / "run" / "best"
    config = read_config(folder).to_dict()
    for backbone in (config["decoder"], *config["encoders"].values()):
        source = backbone["source"]
        backbone["source"] = Path(source).name if Path(source).is_absolute() else source
    return config


def claims_by_captions(found: Mapping[Cell, Measured]) -> dict[str, list[dict[str, Any]]]:
    """Judge the claims after fine-tuning on few captions, by their number."""
    return {str(number): _claims(_after(found, number)) for number in _numbers(found)}


def _after(found: Mapping[Cell, Measured], captions: int | None) -> dict[tuple[str, int], Scores]:
    """Return the scores after fine-tuning on so many captions, by regime and seed."""
    return {(cell.regime, cell.seed): each.plain for cell, each in found.items() if cell.captions == captions}


def _numbers(found: Iterable[Cell]) -> list[int]:
    return sorted({cell.captions for cell in found if cell.captions is not None})


def _claims(scored: Mapping[tuple[str, int], Scores]) -> list[dict[str, Any]]:
    judged = (judge_claim(claim, scored) for claim in CLAIMS)
    return [claim_document(each) for each in judged if each is not None]


def _regime(regime: str, found: Mapping[Cell, Measured], started: str | None) -> dict[str, Any]:
    """Summarise a regime. `started` was pre-trained elsewhere: nobody here knows for how many steps."""
    complete = {cell: each for cell, each in found.items() if cell.regime == regime and cell.captions is None}
    plan = next(iter(complete)).plan
    reports = [each.report for each in complete.values()]
    views = reports[0]["scores"]
    document: dict[str, Any] = {
        "steps": None if started else 0 if regime == UNTRAINED else plan.steps_of(regime),
        "one pre-training for all seeds": bool(started and "{seed}" not in started and len(reports) > 1),
        "claimed on MSR-VTT": None if regime == UNTRAINED else REGIMES[regime].claimed,
        "scores": {
            view: {name: mean_document([each["scores"][view][name] for each in reports]) for name in views[view]}
            for view in views
        },
        "by captions": by_captions(regime, found),
        "language": _means([each["language"] for each in reports]),
        "cells": [
            {"seed": cell.seed, **{key: each.report.get(key) for key in OF_A_CELL}} for cell, each in complete.items()
        ],
    }
    if len(reports) == 1:
        document["scores"][PLAIN]["CIDEr-D"] |= over_films(reports[0])
    if "truth" in reports[0]:
        document["truth"] = {view: _means([each["truth"][view] for each in reports]) for view in reports[0]["truth"]}
    return document


def by_captions(regime: str, found: Mapping[Cell, Measured]) -> dict[str, Any]:
    """Return CIDEr-D by the number of captions that the fine-tuning had."""
    columns: list[tuple[str, int | None]] = [*((str(number), number) for number in _numbers(found)), ("all", None)]
    return {
        name: mean_document([each["CIDEr-D"] for (of, _), each in _after(found, number).items() if of == regime])
        for name, number in columns
    }


def mean_document(values: Sequence[float]) -> dict[str, Any]:
    mean, interval = mean_over_seeds(values)
    each = [round(value, 3) for value in values]
    return {"mean": round(mean, 3), "interval over seeds": interval_document(interval), "each": each}


def interval_document(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(interval.low, 3), round(interval.high, 3)]


def over_films(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands beside a mean of one seed, which has no interval over seeds."""
    return {"interval over films": report["intervals over films"]["CIDEr-D"]}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return plain means over seeds of what all of them have."""
    return {
        name: round(statistics.fmean(row[name] for row in rows), 4)
        for name in rows[0]
        if all(row[name] is not None for row in rows)
    }


def claim_document(each: Judged) -> dict[str, Any]:
    return {
        "claim": each.claim.text,
        "difference": f"{each.claim.better} less {each.claim.worse}, CIDEr-D, paired",
        "mean": round(each.difference, 3),
        "interval over seeds": interval_document(each.over_seeds),
        "interval over films": interval_document(each.over_films),
        "seeds": list(each.seeds),
        "verdict": each.verdict,
    }
