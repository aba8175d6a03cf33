"""Gather `bench mined` into one document, and write its table: which kind of captions teaches most."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.bench.claims import report
from pseudocap.bench.claims.certainty import SAMPLES, Claim, judge_claim, mean_over_seeds, verdict_of
from pseudocap.bench.claims.measured import Measured, read_measured
from pseudocap.bench.claims.mined import (
    AFTER,
    ARMS,
    BEFORE,
    CUTOFF,
    EXAMPLES,
    MINED,
    PICTURES,
    PSEUDOLABELS,
    RECALLED,
    TRANSCRIPTS,
    MinedBench,
)
from pseudocap.bench.claims.regimes import provenance
from pseudocap.bench.claims.results import claim_document, interval_document, mean_document
from pseudocap.bench.machine import machine
from pseudocap.bench.tables import table
from pseudocap.evaluate.captioner import ZERO_SHOT, references_of
from pseudocap.evaluate.views import PLAIN
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.resample import Interval
from pseudocap.regimes.table import UNTRAINED

FOUND = "text to video"
CLAIMS = tuple(
    Claim(text=f"mined captions teach more than {what}", better=MINED, worse=arm)
    for arm, what in {
        TRANSCRIPTS: "transcripts",
        PSEUDOLABELS: "pseudolabels",
        PICTURES: "the stills that they come from",
        UNTRAINED: "no pre-training",
    }.items()
)
Document = Mapping[str, Any]


def gather_mined(bench: MinedBench, *, command: str) -> dict[str, Any]:
    """Read everything back. All stages must be finished."""
    shop, seeds = bench.shop, bench.seeds
    references = references_of(bench.ground.films())
    measured, searched, recalled = {}, {}, {}
    for key, (cell, (*_, search)) in bench.of.items():
        stage = cell.stage(bench.ground, "measured")
        measured[key] = read_measured(shop.folder(stage), shop.reports[stage], references)
        searched[key] = shop.reports[search.name]
        recalled[key] = json.loads((shop.folder(search.name) / RECALLED).read_text(encoding="utf-8"))
    return {
        "command": command,
        **machine(),
        "corpus": bench.corpus,
        "data": provenance(bench),
        "test films": len(references),
        "seeds": seeds,
        "settings": dataclasses.asdict(bench.recipe),
        "mining": shop.reports["mined"],
        "examples": shop.reports[EXAMPLES],
        "arms": {
            arm: {
                "captions": _captions([measured[arm, seed] for seed in seeds]),
                "search": _search([searched[arm, seed] for seed in seeds]),
            }
            for arm in ARMS
        },
        "claims": [*caption_claims(measured), *search_claims(recalled, seeds)],
    }


def _captions(cells: Sequence[Measured]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for when, view in ((BEFORE, ZERO_SHOT), (AFTER, PLAIN)):
        rows = [each.report for each in cells]
        found[when] = {name: mean_document([row["scores"][view][name] for row in rows]) for name in METRICS}
        found[when]["correct"] = mean_document([row["truth"][view]["correct"] for row in rows])
    return found


def _search(reports: Sequence[Document]) -> dict[str, Any]:
    return {
        when: {
            direction: {name: mean_document([each[when][direction][name] for each in reports]) for name in figures}
            for direction, figures in reports[0][when].items()
        }
        for when in (BEFORE, AFTER)
    }


def caption_claims(measured: Mapping[tuple[str, int], Measured]) -> Iterator[dict[str, Any]]:
    before = {key: each.before for key, each in measured.items() if each.before is not None}
    for when, scores in ((BEFORE, before), (AFTER, {key: each.plain for key, each in measured.items()})):
        for claim in CLAIMS:
            judged = judge_claim(claim, scores)
            assert judged is not None, "every seed has all arms"
            yield {"learner": "captioner", "when": when, **claim_document(judged)}


def search_claims(
    recalled: Mapping[tuple[str, int], Mapping[str, list[float]]], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for when in (BEFORE, AFTER):
        for claim in CLAIMS:
            sides = [np.array([recalled[arm, seed][when] for seed in seeds]) for arm in (claim.better, claim.worse)]
            gains = sides[0] - sides[1]  # [seeds, films]
            mean, over_seeds = mean_over_seeds(gains.mean(axis=1).tolist())
            over_films = _over_films(gains.mean(axis=0))
            yield {
                "learner": "retriever",
                "when": when,
                "claim": claim.text,
                "difference": f"{claim.better} less {claim.worse}, R@{CUTOFF}, paired",
                "mean": round(mean, 3),
                "interval over seeds": interval_document(over_seeds),
                "interval over films": interval_document(over_films),
                "seeds": list(seeds),
                "verdict": verdict_of(over_seeds, over_films),
            }


def _over_films(gains: np.ndarray) -> Interval:
    """Return the bootstrap's interval of a mean over films."""
    drawn = np.random.default_rng(0).integers(0, len(gains), (SAMPLES, len(gains)))
    low, high = np.quantile(gains[drawn].mean(axis=1), (0.025, 0.975))
    return Interval(low=float(low), high=float(high))


def write_mined(out: Path, results: Document) -> list[Path]:
    """Write `table.md` and, last, `results.json`."""
    out.mkdir(parents=True, exist_ok=True)
    return report.write_table(out, mined_table(results), results)


def mined_table(results: Document) -> list[str]:
    return report.lines_of(_paragraphs(results))


def _paragraphs(results: Document) -> Iterator[str]:
    settings, plan, examples = results["settings"], results["settings"]["plan"], results["examples"]
    mining, seeds = results["mining"], results["seeds"]
    yield "# Do mined captions teach?"
    yield f"    {results['command']}"
    yield (
        f"Toy results: {results['test films']:,} test films, seeds {', '.join(map(str, seeds))}. Intervals are 95 %: "
        f"{report.kind_of_intervals(seeds)}\nMined by `{mining['command']}`: {mining['pairs']:,} pairs in "
        f"{mining['clips']:,} clips.\nEvery kind gives {examples['each']:,} examples; captioners learn for "
        f"{plan['steps']:,} steps of {plan['batch']}, retrievers for {settings['search_steps']:,}; both are then "
        f"fine-tuned on {settings['captions']:,} captions of people."
    )
    yield "## Captions (CIDEr-D), and search (R@10 of videos by text)"
    rows = []
    for arm, each in results["arms"].items():
        true = examples["arms"][arm]["truth"]["correct"] if arm in examples["arms"] else None
        captions = [report.mean_text(each["captions"][when]["CIDEr-D"]) for when in (BEFORE, AFTER)]
        found = [report.mean_text(each["search"][when][FOUND][f"R@{CUTOFF}"]) for when in (BEFORE, AFTER)]
        rows.append((arm, "" if true is None else f"{true:.1f} %", *captions, *found))
    heads = [f"{what}, {when}" for what in ("captions", "search") for when in (BEFORE, AFTER)]
    yield table(("learned from", "of it correct", *heads), rows)
    yield "## What holds"
    yield "A claim holds where both paired intervals, over seeds and over films, lie above 0."
    claims = []
    for each in results["claims"]:
        spreads = [each[f"interval over {what}"] for what in ("seeds", "films")]
        over = ["one seed" if spread is None else f"{spread[0]:+.1f} to {spread[1]:+.1f}" for spread in spreads]
        claims.append((each["claim"], each["learner"], each["when"], f"{each['mean']:+.1f}", *over, each["verdict"]))
    yield table(("claim", "learner", "measured", "difference", "over seeds", "over films", "verdict"), claims)
