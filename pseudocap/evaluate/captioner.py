"""Measure a captioner on a split: its captions in every view, their scores with intervals, their language, their truth.

Truth is a judge that the caller hands in: only whoever has drawn the videos knows what they show.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pseudocap.captioner import PseudoCap
from pseudocap.evaluate.views import BLIND, PLAIN, VIEWS, caption_memory
from pseudocap.memory import Memory
from pseudocap.metrics.language import describe
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import Scores, score

ZERO_SHOT = "zero-shot"  # the plain view, captioned before the fine-tuning
SAMPLES = 1000  # resampled sets of videos, which give a captioner's own interval
Judge = Callable[[Mapping[str, str]], Mapping[str, float]]  # captions by key to shares in per cent


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Hold a video of a test split with the captions that people wrote."""

    key: str
    path: Path
    references: tuple[str, ...]


def references_of(videos: Iterable[HeldOut]) -> References:
    return References({video.key: video.references for video in videos})


def caption_views(
    model: PseudoCap, memories: Mapping[str, Memory], videos: Sequence[HeldOut], views: Sequence[str] = VIEWS
) -> dict[str, dict[str, str]]:
    """Caption every video in each view, from the memories that `write_views` made of the same videos."""
    keys = [video.key for video in videos]
    return {view: dict(zip(keys, caption_memory(model, memories[view]), strict=True)) for view in views}


def score_views(captions: Mapping[str, Mapping[str, str]], videos: Iterable[HeldOut]) -> dict[str, Scores]:
    """Score the captions of each view; the plain view's scores have intervals over videos."""
    references = references_of(videos)
    return {
        view: score(predictions=each, references=references, metrics=METRICS, bootstrap=SAMPLES if view == PLAIN else 0)
        for view, each in captions.items()
    }


def score_files(
    model: PseudoCap, videos: Sequence[HeldOut], *, batch_size: int, metrics: Sequence[str] = METRICS, **decoding: Any
) -> tuple[dict[str, str], Scores]:
    """Caption the files themselves, as a user does, and score the captions."""
    texts = model.caption([video.path for video in videos], batch_size=batch_size, **decoding)
    captions = dict(zip((video.key for video in videos), texts, strict=True))
    return captions, score(predictions=captions, references=references_of(videos), metrics=metrics)


def report_captions(
    captions: Mapping[str, Mapping[str, str]], videos: Sequence[HeldOut], judge: Judge | None = None
) -> dict[str, Any]:
    """Return one document of a captioner: scores by view, intervals, language and, where a judge is there, truth."""
    scores = score_views(captions, videos)
    report: dict[str, Any] = {
        "films": len(videos),
        "scores": {view: rounded(each, 3) for view, each in scores.items()},
        "intervals over films": rounded_intervals(scores[PLAIN], 3),
        "language": asdict(describe(predictions=captions[PLAIN])),
    }
    if judge is not None:
        report["truth"] = {view: judge(captions[view]) for view in (PLAIN, ZERO_SHOT, BLIND) if view in captions}
    return report


def one_against_the_others(references: Mapping[Any, Sequence[str]]) -> dict[str, float]:
    """Score what people reach: every fourth of the first 20 captions of a video against all others, on the average."""
    rounds = []
    for who in range(0, min(20, *map(len, references.values())), 4):
        others = {video: [*texts[:who], *texts[who + 1 :]] for video, texts in references.items()}
        rounds.append(score(predictions={video: texts[who] for video, texts in references.items()}, references=others))
    return {metric: statistics.fmean(each[metric] for each in rounds) for metric in METRICS}


def rounded(scores: Mapping[str, float], digits: int) -> dict[str, float]:
    return {metric: round(value, digits) for metric, value in scores.items()}


def rounded_intervals(scores: Scores, digits: int) -> dict[str, list[float]]:
    return {name: [round(each.low, digits), round(each.high, digits)] for name, each in scores.intervals.items()}
