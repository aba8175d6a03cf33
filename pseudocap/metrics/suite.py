"""Score captions against references: `score` returns {metric: value x 100}, its coverage and its certainty.

    score(predictions={"video7": "a dog runs"}, references={"video7": ["the dog is running", ...], ...})

Needs numpy only. Value x 100 is how the papers print it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudocap.errors import DataError
from pseudocap.metrics.java import TIMEOUT, JavaError
from pseudocap.metrics.measures import METRICS, measure, obstacles
from pseudocap.metrics.references import Floats, Predictions, References
from pseudocap.metrics.resample import Difference, Interval, difference, intervals
from pseudocap.metrics.tokenization import PTB

# A video's id may be anything that a dictionary takes as a key.
Captions = Mapping[Any, str]
ManyCaptions = Mapping[Any, Sequence[str]] | References


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Hold which videos a score covers."""

    scored: tuple[Hashable, ...]
    missing: tuple[Hashable, ...] = ()  # have references and no prediction
    unknown: tuple[Hashable, ...] = ()  # have a prediction and no reference

    def __str__(self) -> str:
        total = len(self.scored) + len(self.missing)
        line = f"{total} videos, all of the references"
        if self.missing:
            line = f"ONLY {len(self.scored)} of {total} videos (without a prediction: {len(self.missing)})"
        return line + (f"; predictions without references: {len(self.unknown)}" if self.unknown else "")


class Scores(dict[str, float]):
    """Hold {metric: value x 100}, and beside it: of which videos, how certain, what could not be computed, and why."""

    def __init__(
        self,
        *,
        rows: Mapping[str, Floats],
        coverage: Coverage,
        not_computed: Mapping[str, str] | None = None,
        tokenization: str = PTB,
    ) -> None:
        super().__init__({name: float(measure(name).combine(table.sum(axis=0))) * 100 for name, table in rows.items()})
        self.rows = dict(rows)
        self.coverage = coverage
        self.tokenization = tokenization
        self.not_computed = dict(not_computed or {})
        self.intervals: dict[str, Interval] = {}

    @property
    def n(self) -> int:
        return len(self.coverage.scored)

    @property
    def missing(self) -> tuple[Hashable, ...]:
        return self.coverage.missing

    def per_video(self, metric: str) -> dict[Hashable, float]:
        """Return the metric of each caption alone. BLEU and METEOR of all videos are not the mean of these."""
        values = measure(metric).combine(self.rows[metric]) * 100
        return dict(zip(self.coverage.scored, values.tolist(), strict=True))

    def by(self, groups: Mapping[Any, str]) -> dict[str, Scores]:
        """Return the scores of each group of videos; the rarity of words stays counted over all."""
        names = np.array([groups.get(video, "(none)") for video in self.coverage.scored])
        parts = {}
        for name in sorted(set(names.tolist())):
            chosen = np.flatnonzero(names == name)
            coverage = Coverage(scored=tuple(self.coverage.scored[row] for row in chosen))
            parts[name] = Scores(
                rows={metric: table[chosen] for metric, table in self.rows.items()},
                coverage=coverage,
                not_computed=self.not_computed,
                tokenization=self.tokenization,
            )
        return parts

    def lines(self) -> Iterator[str]:
        yield str(self.coverage) + (f"; tokens: {self.tokenization}" if self.tokenization != PTB else "")
        for name, value in self.items():
            interval = self.intervals.get(name)
            yield f"{name:<8} {value:8.2f}" + (f"  [{interval.low:.2f}, {interval.high:.2f}]" if interval else "")
        for name, reason in self.not_computed.items():
            yield f"{name:<8} not computed: {reason}"

    def __str__(self) -> str:
        return "\n".join(self.lines())


def score(
    *,
    predictions: Captions,
    references: ManyCaptions,
    metrics: Sequence[str] = METRICS,
    allow_missing: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
    java_timeout: float = TIMEOUT,
    language: str = "en",
) -> Scores:
    """Score one caption a video against its references.

    `references` may be a `References`, prepared once for many calls. Videos on one side only are an error, unless
    `allow_missing`: then the others are scored, with the rarity of words counted over all references all the same.
    `bootstrap` adds 95 % intervals from so many resampled sets of videos. METEOR and SPICE are "not computed" where
    they cannot run, or where the captions are not in English; that is found out first. `language` is that of the
    captions, unless `References` say theirs.
    """
    given = references.language if isinstance(references, References) else language
    not_computed = obstacles(metrics, language=given)
    prepared = references if isinstance(references, References) else References(references, language=given)
    captions, coverage = align(predictions=predictions, references=prepared, allow_missing=allow_missing)
    tables: dict[object, Floats] = {}
    rows = {}
    for name in metrics:
        entry = measure(name)
        reason = not_computed.get(name) or entry.undefined(captions.references)
        if not reason and entry.rows not in tables:
            options = {"timeout": java_timeout} if entry.java else {}
            try:
                tables[entry.rows] = entry.rows(captions, **options)
            except JavaError as error:
                reason = str(error)
        if reason:
            not_computed[name] = reason
        else:
            rows[name] = tables[entry.rows]
    scores = Scores(rows=rows, coverage=coverage, not_computed=not_computed, tokenization=prepared.tokenization)
    if bootstrap:
        found = intervals([(measure(name), table) for name, table in rows.items()], samples=bootstrap, seed=seed)
        scores.intervals = dict(zip(rows, found, strict=True))
    return scores


def compare(
    *,
    predictions: Captions,
    baseline: Captions,
    references: ManyCaptions,
    metrics: Sequence[str] = METRICS,
    allow_missing: bool = False,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Test how much better `predictions` are than `baseline`, metric by metric, and whether chance would do as much.

    Paired: only videos that both have captioned count. A metric that cannot be computed is left out.
    """
    if allow_missing:
        predictions = {video: text for video, text in predictions.items() if video in baseline}
        baseline = {video: text for video, text in baseline.items() if video in predictions}
    prepared = references if isinstance(references, References) else References(references)
    ours, theirs = (
        score(predictions=system, references=prepared, metrics=metrics, allow_missing=allow_missing)
        for system in (predictions, baseline)
    )
    return {
        name: difference(measure(name), ours.rows[name], theirs.rows[name], samples=samples, seed=seed) for name in ours
    }


def align(*, predictions: Captions, references: ManyCaptions, allow_missing: bool) -> tuple[Predictions, Coverage]:
    """Return predictions beside the references that they are scored against, and which videos those are."""
    prepared = references if isinstance(references, References) else References(references)
    for video, text in predictions.items():
        if not isinstance(text, str):
            raise DataError(f"the prediction of video {video!r} must be one caption, not {text!r}")
    missing = tuple(video for video in prepared.index if video not in predictions)
    unknown = tuple(video for video in predictions if video not in prepared.index)
    scored = tuple(video for video in prepared.index if video in predictions)
    if not scored:
        raise DataError(
            f"no video has both a prediction and references: predictions are of {_some(unknown)}, "
            f"references of {_some(missing)}; the two must use the same ids"
        )
    if (missing or unknown) and not allow_missing:
        sides = [f"videos without a prediction: {len(missing)} of {len(prepared)} ({_some(missing)})"] * bool(missing)
        sides += [f"predictions without references: {len(unknown)} ({_some(unknown)})"] * bool(unknown)
        raise DataError(
            f"{'; '.join(sides)}; complete them, or score the rest with --allow-missing (in Python allow_missing=True)"
        )
    captions = Predictions({video: predictions[video] for video in scored}, prepared)
    return captions, Coverage(scored=scored, missing=missing, unknown=unknown)


def _some(videos: Sequence[Hashable]) -> str:
    return ", ".join(map(repr, videos[:3])) + (", ..." if len(videos) > 3 else "") if videos else "none"
