"""What is kept of a cell: its captions of the test films in every way of showing them, and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from pseudocap.captioner import PseudoCap
from pseudocap.files.atomic import write_text
from pseudocap.metrics.language import describe
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import Scores, score
from pseudocap.toyworld.truth import judge
from pseudocap.zoo.baselines import SHOWN, VIEWS, HeldOut, captions_of, truth

CAPTIONS = "captions.json"
PLAIN, ZERO_SHOT, BLIND = "as it is", "zero-shot", "blind"
WAYS = (*SHOWN, BLIND)
SAMPLES = 1000  # resampled sets of films, of which a cell's own interval is


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished cell, read back: what it told, and the scores of its captions with their rows by film, after
    fine-tuning and, where that was measured, before."""

    told: Mapping[str, Any]
    plain: Scores
    before: Scores | None = None


def measure_cell(
    folder: Path,
    *,
    tuned: Path,
    zero_shot: str | Path | None,
    views: Path,
    films: Sequence[HeldOut],
    every_way: bool,
) -> dict[str, Any]:
    """Caption the test films and score what was said. `zero_shot` is the captioner before it was fine-tuned."""
    shown = load_file(views / VIEWS)
    model = PseudoCap.from_pretrained(tuned)
    keys = [film.key for film in films]
    captions = {
        way: dict(zip(keys, captions_of(model, shown, way), strict=True)) for way in (WAYS if every_way else (PLAIN,))
    }
    if zero_shot is not None:
        before = PseudoCap.from_pretrained(zero_shot)
        captions[ZERO_SHOT] = dict(zip(keys, captions_of(before, shown, PLAIN), strict=True))
    write_text(folder / CAPTIONS, json.dumps(captions, indent=1, ensure_ascii=False) + "\n")
    return worth(captions, films)


def worth(captions: Mapping[str, Mapping[str, str]], films: Sequence[HeldOut]) -> dict[str, Any]:
    """Scores in every way, with an interval over films for the plain one; language; what the scenes say of it."""
    references = References({film.key: film.references for film in films})
    scores = {
        way: score(predictions=said, references=references, metrics=METRICS, bootstrap=SAMPLES if way == PLAIN else 0)
        for way, said in captions.items()
    }
    told: dict[str, Any] = {
        "films": len(films),
        "scores": {way: {name: round(value, 3) for name, value in each.items()} for way, each in scores.items()},
        "intervals over films": {
            name: [round(each.low, 3), round(each.high, 3)] for name, each in scores[PLAIN].intervals.items()
        },
        "language": asdict(describe(predictions=captions[PLAIN])),
    }
    if all(film.shots for film in films):
        told["truth"] = {
            way: hallucinations(captions[way], films) for way in (PLAIN, ZERO_SHOT, BLIND) if way in captions
        }
    return told


def hallucinations(captions: Mapping[str, str], films: Sequence[HeldOut]) -> dict[str, float]:
    """Against the exact scenes: shares of captions in per cent, and of all things named those that are not there."""
    verdicts = [judge(captions[film.key], film.shots) for film in films]
    named = sum(len(verdict.things) for verdict in verdicts)
    wrong = sum(len(verdict.wrong_things) for verdict in verdicts)
    return truth(verdicts) | {"made up of the things named": round(100 * wrong / max(1, named), 1)}


def read_measured(folder: Path, told: Mapping[str, Any], references: References) -> Measured:
    captions = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
    plain = score(predictions=captions[PLAIN], references=references, metrics=METRICS)
    if ZERO_SHOT not in captions:
        return Measured(told=told, plain=plain)
    before = score(predictions=captions[ZERO_SHOT], references=references, metrics=METRICS)
    return Measured(told=told, plain=plain, before=before)
