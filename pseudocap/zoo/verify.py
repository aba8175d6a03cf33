"""Verify the rows of a registry (`pseudocap zoo verify`): compute the hash of the weights, and the scores, again.

A row's scores are computed on the data that they name: the toy films are drawn anew from their seed, MSR-VTT and MSVD
are the user's. What cannot be computed here is reported as such and is no failure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pseudocap.errors import CheckpointError
from pseudocap.files.atomic import write_text
from pseudocap.hub.fetch import fetch
from pseudocap.hub.manifest import Row
from pseudocap.toyworld.corpora import captions_at
from pseudocap.toyworld.write import write_split
from pseudocap.types import Progress
from pseudocap.zoo.recipe import FULL_RECIPE
from pseudocap.zoo.ship import DATASET

TOLERANCE = 0.5  # of a metric x 100: another version of x264 or torch moves a caption or two


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFinding:
    """Hold the result for one row. `problems` lists what the row claims wrongly; `not_scored` why it has no scores,
    `skipped` why nothing of it is checked."""

    name: str
    sha256: str
    scores: dict[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    not_scored: str = ""
    skipped: str = ""


def verify_row(row: Row, *, world: Path | None, tolerance: float = TOLERANCE) -> RowFinding:
    """Check a row. `world` holds what `write_test_world` wrote; None leaves the scores out."""
    if row.external:
        skipped = (
            f"skipped: {row.weights} is a model of transformers, and its figures are those that its authors published"
        )
        return RowFinding(name=row.name, sha256="", skipped=skipped)
    try:
        folder = fetch(row.name, checkpoints=None if row.shipped else row.registry).folder
    except CheckpointError as error:  # its hash is wrong, or it is not there: the other rows are looked at all the same
        return RowFinding(name=row.name, sha256="", problems=(str(error),))
    problems: list[str] = []
    scores: dict[str, float] = {}
    toy: list[dict[str, Any]] = [each for each in row.values["scores"] if each.get("dataset") == DATASET]
    others = sorted({str(each.get("dataset")) for each in row.values["scores"] if each not in toy})
    not_scored = f"{', '.join(others)}: score it where the data is, with the row's command" if others else ""
    if not row.values["scores"]:
        not_scored = "the row has no scores"
    if toy and world is None:
        not_scored = "left out, as requested"
    if toy and world is not None:
        scores = (_recalls if row.retriever else _scored)(folder, world)
        for name, value in toy[0]["metrics"].items():
            if abs(scores[name] - value) > tolerance:
                problems.append(f"{name} is {scores[name]:.2f}, and the row says {value:.2f}")
    return RowFinding(
        name=row.name,
        sha256=row.sha256,  # which fetching has checked
        scores=scores,
        problems=tuple(problems),
        not_scored=not_scored,
    )


def write_test_world(root: Path, *, workers: int = 2, progress: Progress | None = None) -> None:
    """Draw the films that the toy rows were scored on anew, and write their captions; a second call finds the films
    there."""
    paths = write_split(
        root / "world" / "msrvtt" / "videos",
        "msrvtt",
        "test",
        scale=FULL_RECIPE.scale,
        size=FULL_RECIPE.size,
        seed=FULL_RECIPE.seed,
        workers=workers,
        progress=progress,
    )
    lines = (
        {"video": path.stem, "caption": captions_at("msrvtt", "test", index, seed=FULL_RECIPE.seed), "split": "test"}
        for index, path in enumerate(paths)
    )
    write_text(root / "captions.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _scored(folder: Path, root: Path) -> dict[str, float]:
    from pseudocap.captioner import PseudoCap
    from pseudocap.evaluate.captioner import score_files
    from pseudocap.zoo.baselines import held_out_films

    model, films = PseudoCap.from_pretrained(folder), held_out_films(root, FULL_RECIPE.seed)
    return dict(score_files(model, films, max_new_tokens=32, batch_size=50)[1])


def _recalls(folder: Path, root: Path) -> dict[str, float]:
    from pseudocap.bench.peers.retrieval import figures_of
    from pseudocap.data.corpora.own import read_own
    from pseudocap.evaluate.retriever import find_retrieval_task, measure_retrievers
    from pseudocap.retriever import Retriever
    from pseudocap.zoo.search import recalls_of

    corpus = read_own(root / "captions.jsonl", split="test")
    task = find_retrieval_task(corpus, root / "world" / "msrvtt" / "videos", split="test")
    found = measure_retrievers({folder.name: Retriever.from_pretrained(folder)}, task, bootstrap=0)[0][folder.name]
    return recalls_of(figures_of(found))
