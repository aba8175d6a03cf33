"""Search synthetic clips exactly and by IVF-PQ, ours beside faiss: `pseudocap bench search`.

Vectors lie around centres, as embeddings of clips do (vectors without any structure have no near neighbours to miss);
queries lie near some of them. The exact neighbours are those of a product of matrices in numpy.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.bench.tables import table
from pseudocap.errors import ConfigError
from pseudocap.search.build import optimise
from pseudocap.search.index import PROBES, REFINED, VideoIndex
from pseudocap.search.manifest import IndexManifest, settle_manifest
from pseudocap.search.table import clip_schema, open_table

TOP, CLIPS_OF_A_FILE, PART, SPREAD, STARTS = 10, 100, 50_000, 0.6, 5
HEADINGS = (
    "search",
    "made in (s)",
    "start and first hits (ms)",
    "a query (ms), median",
    "worst of 20 (ms)",
    "recall@10",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchTimes:
    """Hold how long one way of searching took to be made, to be opened with its first hits, and for each query."""

    name: str
    built: float
    first: float
    median: float
    slow: float
    recall: float


Search = Callable[[np.ndarray], Any]  # a vector to the numbers of the clips nearest to it


def race_search(clips: int, dim: int, *, queries: int, seed: int, log: Callable[[str], None]) -> list[SearchTimes]:
    """Measure all four ways on the same vectors."""
    if importlib.util.find_spec("faiss") is None:
        raise ConfigError("the race needs faiss: pip install faiss-cpu")
    vectors, wanted = clustered(clips, dim, queries=queries, seed=seed)
    truth = np.argpartition(wanted @ vectors.T, -TOP, axis=1)[:, -TOP:]
    results = []
    with tempfile.TemporaryDirectory(prefix="pseudocap-") as folder:
        out = Path(folder) / "index"
        ways: dict[str, Callable[[], Callable[[], Search]]] = {
            "ours, exact": lambda: _ours(out, vectors, approximate=False),
            "ours, IVF-PQ": lambda: _ours(out, vectors, approximate=True),
            "faiss, exact": lambda: _faiss(vectors, approximate=False),
            "faiss, IVF-PQ": lambda: _faiss(vectors, approximate=True),
        }
        for name, make in ways.items():
            log(name)
            begun = time.perf_counter()
            opened = make()
            results.append(_measured(name, time.perf_counter() - begun, opened, wanted, truth))
    return results


def _ours(out: Path, vectors: np.ndarray, *, approximate: bool) -> Callable[[], Search]:
    """Make an index, and return what opens it."""
    build(out, vectors, approximate=approximate)

    def opened() -> Search:
        index = VideoIndex.open(out)

        def search(vector: np.ndarray) -> list[int]:
            hits = index.nearest(vector, TOP)
            return [int(Path(hit.file).stem) * CLIPS_OF_A_FILE + round(hit.start / 8) for hit in hits]

        return search

    return opened


def _faiss(vectors: np.ndarray, *, approximate: bool) -> Callable[[], Search]:
    """Make an index of faiss in memory, of as many parts and probes as ours, its hits compared exactly."""
    import faiss

    clips, dim = vectors.shape
    searcher: Any = faiss.IndexFlatIP(dim)
    if approximate:
        partitions = round(clips**0.5)
        inner = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, partitions, dim // 16, 8, faiss.METRIC_INNER_PRODUCT)
        inner.train(vectors[:: max(1, clips // (partitions * 256))])
        inner.nprobe = PROBES
        searcher = faiss.IndexRefine(inner, searcher)
        searcher.k_factor = REFINED
    searcher.add(vectors)
    return lambda: lambda vector: searcher.search(vector[None], TOP)[1][0]


def clustered(clips: int, dim: int, *, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length one around centres, a thousand to each, and queries that lie near some of them.

    What a clip differs by from its centre has a spectrum that falls, as that of embeddings does: of equal variance in
    every direction, all of a cluster were equally far from each other.
    """
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    falling = (np.arange(1, dim + 1, dtype=np.float32) ** -1.0)[:, None] * turned
    centres = _unit(rng.standard_normal((max(1, clips // 1000), dim), np.float32))

    def near(points: np.ndarray) -> np.ndarray:
        return _unit(points + SPREAD * _unit(rng.standard_normal(points.shape, np.float32) @ falling))

    vectors = np.empty((clips, dim), np.float32)
    for part in _parts(clips):
        vectors[part] = near(centres[rng.integers(0, len(centres), part.stop - part.start)])
    return vectors, near(vectors[rng.integers(0, clips, queries)])


def build(out: Path, vectors: np.ndarray, *, approximate: bool) -> None:
    """Write an index as `pseudocap index` does; with `approximate` the one that is there gets its IVF-PQ index."""
    import pyarrow

    dim = vectors.shape[1]
    schema = clip_schema(dim)
    if not approximate:
        out.mkdir()
        settle_manifest(out, IndexManifest(retriever="none", identity="none", dim=dim, frames=1))
    rows = open_table(out, schema)
    for part in () if approximate else _parts(len(vectors)):
        numbers = range(part.start, part.stop)
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors[part].reshape(-1)), dim)
        starts = [8.0 * (number % CLIPS_OF_A_FILE) for number in numbers]
        columns = {"start": starts, "end": [start + 8 for start in starts], "size": [0] * len(starts), "vector": column}
        columns["file"] = [f"/films/{number // CLIPS_OF_A_FILE:06d}.mp4" for number in numbers]
        texts = {name: [""] * len(starts) for name in schema.names if name not in columns}
        rows.add(pyarrow.table({**columns, **texts}, schema=schema))
    optimise(rows, approximate=approximate, written=True, limit=len(vectors))


def _measured(
    name: str, built: float, opened: Callable[[], Search], wanted: np.ndarray, truth: np.ndarray
) -> SearchTimes:
    starts, times, found = [], [], 0
    for vector in wanted[:STARTS]:
        begun = time.perf_counter()
        search = opened()
        search(vector)
        starts.append(time.perf_counter() - begun)
    for vector, expected in zip(wanted, truth, strict=True):
        begun = time.perf_counter()
        hits = search(vector)
        times.append(time.perf_counter() - begun)
        found += len(set(hits) & set(expected.tolist()))
    return SearchTimes(
        name=name, built=built, first=statistics.median(starts), median=statistics.median(times),
        slow=sorted(times)[-max(1, len(times) // 20)], recall=found / truth.size,
    )  # fmt: skip


def search_table(results: list[SearchTimes]) -> str:
    rows = (
        (each.name, f"{each.built:.1f}", *(f"{1000 * value:.1f}" for value in (each.first, each.median, each.slow)),
         f"{each.recall:.3f}")
        for each in results
    )  # fmt: skip
    return table(HEADINGS, rows)


def _parts(clips: int) -> Iterator[slice]:
    return (slice(first, min(first + PART, clips)) for first in range(0, clips, PART))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths
