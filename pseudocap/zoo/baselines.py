"""Measure what only the toy world can: captions and labels against the exact scenes, and the scores of people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pseudocap.captioner import PseudoCap
from pseudocap.evaluate.captioner import (
    HeldOut,
    caption_views,
    one_against_the_others,
    references_of,
    rounded,
    rounded_intervals,
    score_views,
)
from pseudocap.evaluate.views import PLAIN, read_views, write_views
from pseudocap.label.schema import read_labels
from pseudocap.metrics.suite import score
from pseudocap.model.encoders.timesformer import TimeSformer
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.grammar import full_truth
from pseudocap.toyworld.scenes import FPS, Film, Shot
from pseudocap.toyworld.truth import Verdict, judge, shots_between
from pseudocap.types import Pseudolabel


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyFilm(HeldOut):
    """Hold a film of the toy world, and its scene."""

    shots: tuple[Shot, ...]


def held_out_films(root: Path, seed: int) -> list[ToyFilm]:
    """List the test films in the order of the corpus, which is that of their indices."""
    lines = (root / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    return [
        ToyFilm(
            key=row["video"],
            path=root / "world" / "msrvtt" / "videos" / f"{row['video']}.mp4",
            references=tuple(row["caption"]),
            shots=film_at("msrvtt", "test", index, seed=seed).shots,
        )
        for index, row in enumerate(rows)
    ]


def write_held_out(folder: Path, root: Path, encoder: Path, seed: int) -> dict[str, Any]:
    """Encode every test film in every view: all captioners share the encoder, so once is enough."""
    timesformer = TimeSformer.from_pretrained(encoder)
    files = [film.path for film in held_out_films(root, seed)]
    return write_views(folder, files, timesformer.preprocess, timesformer.encode)


def measure_captioner(folder: Path, root: Path, seed: int) -> dict[str, Any]:
    """Caption the test films in every view; return the scores, and how many captions are true."""
    films = held_out_films(root, seed)
    captions = caption_views(PseudoCap.from_pretrained(folder, device="cpu"), read_views(root / "views"), films)
    scores, plain = score_views(captions, films), captions[PLAIN]
    return {
        **{view: rounded(each, 2) for view, each in scores.items()},
        "intervals": rounded_intervals(scores[PLAIN], 2),
        "truth": truth(verdicts_on(plain, films)),
        "distinct captions": len(set(plain.values())),
        "examples": {film.key: plain[film.key] for film in films[:8]},
    }


def verdicts_on(captions: Mapping[str, str], films: Sequence[ToyFilm]) -> list[Verdict]:
    return [judge(captions[film.key], film.shots) for film in films]


def truth(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return shares of captions, in per cent: all of a caption right; its things; what is wrong in the others."""
    count = max(1, len(verdicts))

    def share(of: Callable[[Verdict], object]) -> float:
        return round(100 * sum(bool(of(each)) for each in verdicts) / count, 1)

    return {
        "correct": share(lambda each: each.correct),
        "things and colours right": share(lambda each: each.things_right),
        "names a thing that is not there": share(lambda each: each.wrong_things),
        "wrong colour": share(lambda each: each.wrong_colours),
        "tells an event": share(lambda each: each.events),
        "wrong event": share(lambda each: each.wrong_events),
        "wrong way round": share(lambda each: each.wrong_ways),
    }


def hallucinations(captions: Mapping[str, str], films: Sequence[ToyFilm]) -> dict[str, float]:
    """Return the same shares, and of all things named those that are not there."""
    verdicts = verdicts_on(captions, films)
    named = sum(len(verdict.things) for verdict in verdicts)
    wrong = sum(len(verdict.wrong_things) for verdict in verdicts)
    return truth(verdicts) | {"made up of the things named": round(100 * wrong / max(1, named), 1)}


def measure_baselines(root: Path, seed: int) -> dict[str, Any]:
    """Score people against one another, and the complete truth in the commonest words."""
    films = held_out_films(root, seed)
    people = one_against_the_others({film.key: film.references for film in films})
    truths = {film.key: full_truth(film_at("msrvtt", "test", index, seed=seed)) for index, film in enumerate(films)}
    complete = score(predictions=truths, references=references_of(films))
    return {
        "one person against the other 19": rounded(people, 2),
        "the whole truth": dict(complete),
        "films": len(films),
    }


def verdicts_on_labels(labels: Iterable[Pseudolabel], seed: int) -> list[Verdict]:
    """Compare labels of talking films, the best caption of each, with the scene of their clips."""

    @cache
    def film(source: str) -> Film:
        return film_at("talking", "train", int(Path(source).stem.removeprefix("talking")), seed=seed)

    return [
        judge(label.caption, shots_between(film(label.clip.source), label.clip.start, label.clip.end, FPS))
        for label in labels
    ]


def measure_labels(run: Path, talking: Path, seed: int) -> dict[str, Any]:
    """Audit labels as only a toy world allows: compare every one with the scene of its clip."""
    verdicts, refers, spoken = verdicts_on_labels(read_labels(run), seed), 0, 0
    for line in (talking / "utterances.jsonl").read_text(encoding="utf-8").splitlines():
        spoken += 1
        refers += json.loads(line)["kind"] == "refers"
    return {
        "labels": len(verdicts),
        **truth(verdicts),
        "utterances that refer to the film": round(100 * refers / spoken, 1),
    }
