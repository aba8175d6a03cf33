"""Write the captions of a cell once, and read its scores back from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.captioner import PseudoCap
from pseudocap.evaluate.captioner import ZERO_SHOT, HeldOut, Judge, caption_views, report_captions
from pseudocap.evaluate.views import PLAIN, VIEWS, read_views
from pseudocap.files.atomic import write_text
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import Scores, score

CAPTIONS = "captions.json"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Hold a finished cell, read back: its report, and the scores of its captions with their rows by film, after
    fine-tuning and, where that was measured, before."""

    report: Mapping[str, Any]
    plain: Scores
    before: Scores | None = None


def measure_cell(
    folder: Path,
    *,
    tuned: Path,
    zero_shot: str | Path | None,
    views: Path,
    films: Sequence[HeldOut],
    judge: Judge | None,
    every_view: bool,
) -> dict[str, Any]:
    """Caption the test films and score the captions. `zero_shot` is the captioner before it was fine-tuned."""
    memories = read_views(views)
    captions = caption_views(PseudoCap.from_pretrained(tuned), memories, films, VIEWS if every_view else (PLAIN,))
    if zero_shot is not None:
        before = PseudoCap.from_pretrained(zero_shot)
        captions[ZERO_SHOT] = caption_views(before, memories, films, (PLAIN,))[PLAIN]
    write_text(folder / CAPTIONS, json.dumps(captions, indent=1, ensure_ascii=False) + "\n")
    return report_captions(captions, films, judge)


def read_measured(folder: Path, report: Mapping[str, Any], references: References) -> Measured:
    captions = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
    scores = {
        view: score(predictions=captions[view], references=references, metrics=METRICS)
        for view in (PLAIN, ZERO_SHOT)
        if view in captions
    }
    return Measured(report=report, plain=scores[PLAIN], before=scores.get(ZERO_SHOT))
