"""Measure retrievers on a split: every caption searches all videos, and every video all captions; chance beside them.

All are measured on the same videos: one that any of them cannot decode is left out for all, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, DecodeError, InputError
from pseudocap.file_retriever import FileRetriever
from pseudocap.metrics.retrieval import BothDirections, Products, score_both_directions
from pseudocap.types import CaptionedVideo, Progress

CHANCE = "chance"
CHANCE_WIDTH = 256  # of random vectors
SAMPLES = 1000  # resampled sets of videos
Similarity = Products | np.ndarray


@dataclass(frozen=True, kw_only=True)
class RetrievalTask:
    """Hold what is searched: the rows of one split whose files are there; and which are not."""

    corpus: Corpus
    paths: Mapping[str, Path]
    missing: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> tuple[CaptionedVideo, ...]:
        return tuple(row for row in self.corpus.rows if row.id in self.paths)

    @cached_property
    def texts(self) -> list[str]:
        return [caption for row in self.rows for caption in row.captions]

    @cached_property
    def relevant(self) -> np.ndarray:
        """Return the index of each text's video."""
        return np.repeat(np.arange(len(self.rows)), [len(row.captions) for row in self.rows])

    def without(self, ids: Mapping[str, str]) -> RetrievalTask:
        return replace(self, paths={key: path for key, path in self.paths.items() if key not in ids})


def find_retrieval_task(corpus: Corpus, videos: Path, *, split: str, limit: int | None = None) -> RetrievalTask:
    """Find the files of a split's videos, of the first `limit` alone where that is given."""
    folder = VideoFolder(videos)
    narrowed = corpus.split(split)
    narrowed = replace(narrowed, rows=narrowed.rows[:limit])
    found = {row.id: folder.find(row) for row in narrowed.rows}
    paths = {key: path for key, path in found.items() if path is not None}
    if not paths:
        raise DataError(f"none of the {len(found):,} videos of {corpus.name} {split} is below {videos}; see --videos")
    return RetrievalTask(corpus=narrowed, paths=paths, missing=tuple(key for key in found if key not in paths))


def measure_retrievers(
    retrievers: Mapping[str, FileRetriever[Any]],
    task: RetrievalTask,
    *,
    num_frames: int | None = None,
    batch_size: int = 8,
    dual_softmax: float | None = None,
    bootstrap: int = SAMPLES,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[str, BothDirections], dict[str, str]]:
    """Return the scores of each retriever and of chance, and why videos were left out. `dual_softmax` is a temperature:
    it adds the scores with it, beside those without."""
    for name, retriever in retrievers.items():
        if not retriever.reads_text:
            raise InputError(f"{name} has no text tower: no text can be compared with its clips")
    vectors: dict[str, dict[str, torch.Tensor]] = {}
    faults: dict[str, str] = {}
    for number, (name, retriever) in enumerate(retrievers.items()):

        def report(done: int, total: int, before: int = number * len(task.rows)) -> None:
            progress(before + done, total * len(retrievers))

        vectors[name], wrong = _embed(retriever, task, num_frames, batch_size, report)
        faults |= wrong
    task = task.without(faults)
    if not task.rows:
        raise DataError(f"none of the videos can be decoded: {next(iter(faults.values()))}")
    options: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed}
    scores: dict[str, BothDirections] = {}
    for name, retriever in retrievers.items():
        similarity = _similarity(retriever, task, vectors[name], num_frames, batch_size)
        scores[name] = score_both_directions(similarity, task.relevant, **options)
        if dual_softmax is not None:
            revised = score_both_directions(similarity, task.relevant, dual_softmax=dual_softmax, **options)
            scores[f"{name}, dual softmax {dual_softmax:g}"] = revised
    scores[CHANCE] = score_both_directions(_random(task, seed), task.relevant, **options)
    return scores, faults


def _embed(
    retriever: FileRetriever[Any],
    task: RetrievalTask,
    num_frames: int | None,
    batch_size: int,
    report: Callable[[int, int], None],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the vector of each video by its id, and why others have none. A retriever that compares more than vectors
    has none of any: its files are only tried."""
    vectors: dict[str, torch.Tensor] = {}
    faults: dict[str, str] = {}
    if not retriever.compares_vectors and any(row.start is not None for row in task.rows):
        raise DataError("some rows are stretches of a video, and this retriever compares files; cut them first")
    for first in range(0, len(task.rows), batch_size):
        rows = task.rows[first : first + batch_size]
        seen = {}
        for row in rows:
            try:
                path = task.paths[row.id]
                seen[row.id] = retriever.decode(path, num_frames=num_frames, start=row.start or 0.0, end=row.end)
            except DecodeError as error:
                faults[row.id] = str(error)
        if seen and retriever.compares_vectors:
            vectors |= zip(seen, retriever.embed_clips(list(seen.values())), strict=True)
        report(first + len(rows), len(task.rows))
    return vectors, faults


def _similarity(
    retriever: FileRetriever[Any],
    task: RetrievalTask,
    vectors: Mapping[str, torch.Tensor],
    num_frames: int | None,
    batch_size: int,
) -> Similarity:
    if not retriever.compares_vectors:
        files = [task.paths[row.id] for row in task.rows]
        return retriever.similarity(task.texts, files, num_frames=num_frames, batch_size=batch_size).numpy()
    return Products(
        retriever.embed_text(task.texts).numpy(), torch.stack([vectors[row.id] for row in task.rows]).numpy()
    )


def _random(task: RetrievalTask, seed: int) -> Similarity:
    """Return similarities that know nothing: what a retriever must beat."""
    generator = np.random.default_rng(seed)
    sizes = ((len(side), CHANCE_WIDTH) for side in (task.texts, task.rows))
    return Products(*(generator.standard_normal(size, dtype=np.float32) for size in sizes))
