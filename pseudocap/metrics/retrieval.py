"""Score retrieval: how high the right items stand among all, query by query, with intervals.

    retrieval_scores(similarity, relevant)  # {"R@1": 43.1, "R@5": 70.0, "R@10": 80.2, "MedR": 2.0, "MnR": 15.3}

Recalls are x 100, as papers print them; ranks start at 1. A query with several relevant items is answered by the first
of them. Ties count against the retriever: an irrelevant item that is as similar as the right one stands before it, so
a model whose vectors are all alike scores at the bottom and not at the top.

Similarities are read a block of queries at a time. `Products` never holds them all: 60,000 texts by 10,000 videos, as a
matrix 2.4 GB, take 0.44 GB in all with vectors of 512 values (tests/metrics/test_retrieval.py measures it). Needs
numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudocap.errors import DataError
from pseudocap.metrics.references import Floats, Ints
from pseudocap.metrics.resample import Interval

CUTOFFS = (1, 5, 10)
NAMES = (*(f"R@{cutoff}" for cutoff in CUTOFFS), "MedR", "MnR")
RSUM = "rsum"
BLOCK = 2_000_000  # similarities held at a time
Relevant = ArrayLike | Sequence[Iterable[int]]  # the right item of each query, or the set of its right items


class Similarities(Protocol):
    """Give rows of similarities [queries, items]: an array, a memory-mapped file, or `Products`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def T(self) -> Any: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Products:
    """Give the dot products of vectors of queries [A,D] and of items [B,D] without holding all of them."""

    queries: NDArray[np.float32]
    items: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.queries), len(self.items)

    @property
    def T(self) -> Products:
        return Products(self.items, self.queries)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return self.queries[rows] @ self.items.T


class RetrievalScores(dict[str, float]):
    """Hold the scores of one direction; beside them the rank of each query, and 95 % intervals where they were drawn.

    Of ranks MedR and MnR, recalls x 100, and so are their intervals.
    """

    def __init__(self, ranks: Ints, draws: Floats | None = None) -> None:
        super().__init__(zip(NAMES, _summary(np.sort(ranks), np.ones_like(ranks)), strict=True))
        self.ranks = ranks
        self.draws = draws
        self.intervals = {} if draws is None else dict(zip(NAMES, map(middle, draws.T), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class BothDirections:
    """Hold the scores of finding items by queries and queries by items, and the sum of their six recalls."""

    forward: RetrievalScores
    backward: RetrievalScores

    @property
    def rsum(self) -> float:
        return sum(scores[f"R@{cutoff}"] for scores in (self.forward, self.backward) for cutoff in CUTOFFS)

    @property
    def rsum_interval(self) -> Interval | None:
        if self.forward.draws is None or self.backward.draws is None:
            return None
        recalls = slice(0, len(CUTOFFS))
        return middle(self.forward.draws[:, recalls].sum(1) + self.backward.draws[:, recalls].sum(1))


def retrieval_scores(
    similarity: Similarities | Any,
    relevant: Relevant,
    *,
    dual_softmax: float | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> RetrievalScores:
    """Score queries [rows] against items [columns].

    `relevant` names the right item of each query, or the set of its right items. `dual_softmax` is a temperature: each
    similarity is multiplied by its softmax over the queries, which needs all queries at once and so is reported beside,
    never instead. `bootstrap` adds 95 % intervals from so many draws of items with replacement, each with all of its
    queries: the captions of a video are no independent evidence.
    """
    matrix, sets = _checked(similarity, relevant)
    ranks = _ranks(matrix, sets, dual_softmax)
    return RetrievalScores(ranks, _draw(ranks, sets.first, sets.found, bootstrap, seed) if bootstrap else None)


def score_both_directions(
    similarity: Similarities | Any,
    relevant: Relevant,
    *,
    dual_softmax: float | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> BothDirections:
    """Score items by queries, and queries by items; both from the same draws. An item that no query has is a distractor
    of the first direction, and no query of the second."""
    matrix, sets = _checked(similarity, relevant)
    backward = sets.inverted
    ranks = _ranks(matrix, sets, dual_softmax), _ranks(matrix.T, backward, dual_softmax)
    if not bootstrap:
        return BothDirections(forward=RetrievalScores(ranks[0]), backward=RetrievalScores(ranks[1]))
    clusters = sets.first, backward.rows
    both = (
        RetrievalScores(rank, _draw(rank, cluster, sets.found, bootstrap, seed))
        for rank, cluster in zip(ranks, clusters, strict=True)
    )
    return BothDirections(forward=next(both), backward=next(both))


@dataclass(frozen=True, slots=True)
class _Sets:
    """Hold the right items of queries in one row: of each pair its query and its item, in the order of the queries."""

    pairs: Ints  # [pairs, 2], without doubles
    rows: Ints  # the queries that have any

    @property
    def starts(self) -> Ints:
        return np.searchsorted(self.pairs[:, 0], self.rows)

    @property
    def first(self) -> Ints:
        """Return the first right item of each query."""
        return self.pairs[self.starts, 1]

    @property
    def found(self) -> Ints:
        """Return the items that are right for any query."""
        return np.unique(self.pairs[:, 1])

    @property
    def inverted(self) -> _Sets:
        return _Sets(np.unique(self.pairs[:, ::-1], axis=0), self.found)


def _checked(similarity: Similarities | Any, relevant: Relevant) -> tuple[Similarities, _Sets]:
    matrix = similarity if hasattr(similarity, "T") and hasattr(similarity, "shape") else np.asarray(similarity)
    if len(matrix.shape) != 2 or not all(matrix.shape):
        raise DataError(f"similarity is {tuple(matrix.shape)} and must be [queries, items], at least one of each")
    queries, items = matrix.shape
    rows = [np.atleast_1d(np.asarray(_listed(each))) for each in relevant]  # type: ignore[union-attr]
    if len(rows) != queries:
        raise DataError(f"relevant names the right items of {len(rows):,} queries, and similarity has {queries:,}")
    for query, row in enumerate(rows):
        if not row.size or row.ndim > 1 or row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= items:
            raise DataError(
                f"relevant[{query}] is {row.tolist()} and must be an item's index from 0 to {items - 1}, or a set of "
                "such with at least one"
            )
    pairs = np.stack([np.repeat(np.arange(queries), [row.size for row in rows]), np.concatenate(rows)], 1)
    return matrix, _Sets(np.unique(pairs.astype(np.int64), axis=0), np.arange(queries))


def _listed(each: Any) -> Any:
    return sorted(each) if isinstance(each, set | frozenset) else each


def _ranks(matrix: Similarities, sets: _Sets, dual_softmax: float | None) -> Ints:
    """Return where the first right item of each query stands, from 1."""
    if dual_softmax is not None and not dual_softmax > 0:
        raise DataError(f"dual_softmax is {dual_softmax!r} and must be a temperature above 0")
    totals = None if dual_softmax is None else _log_totals(matrix, dual_softmax)
    starts = np.append(sets.starts, len(sets.pairs))
    ranks = []
    for first, block in _blocks(matrix):
        if totals is not None and dual_softmax is not None:
            block = block * np.exp(block / dual_softmax - totals)
        low, high = np.searchsorted(sets.rows, [first, first + len(block)])
        if low == high:
            continue
        pairs = sets.pairs[starts[low] : starts[high]]
        begins = starts[low:high] - starts[low]
        right = block[pairs[:, 0] - first, pairs[:, 1]]
        best = np.maximum.reduceat(right, begins)
        asked = block if high - low == len(block) else block[sets.rows[low:high] - first]
        before = np.count_nonzero(asked >= best[:, None], axis=1)
        equal = np.add.reduceat(right == np.repeat(best, np.diff(np.append(begins, len(right)))), begins)
        ranks.append(1 + before - equal)
    return np.concatenate(ranks)


def _blocks(matrix: Similarities) -> Iterator[tuple[int, Floats]]:
    """Yield the first row of each block, and the block."""
    queries, items = matrix.shape
    size = max(1, BLOCK // items)
    for first in range(0, queries, size):
        block = np.asarray(matrix[first : first + size])
        if np.isnan(block).any():
            row = first + int(np.isnan(block).any(1).argmax())
            raise DataError(f"similarity has NaN in row {row}: the vector of a query or of an item is broken")
        yield first, block


def _log_totals(matrix: Similarities, temperature: float) -> Floats:
    """Return the logarithm of the softmax's denominator over all queries, for each item."""
    totals = np.full(matrix.shape[1], -np.inf)
    for _, block in _blocks(matrix):
        scaled = block.astype(np.float64) / temperature
        peak = scaled.max(0)
        totals = np.logaddexp(totals, peak + np.log(np.exp(scaled - peak).sum(0)))
    return totals


def _draw(ranks: Ints, clusters: Ints, members: Ints, samples: int, seed: int) -> Floats:
    """Return the scores of so many draws of `members` with replacement, [samples, scores]; a query comes as often as
    the member that it belongs to. The same members and seed give the same draws."""
    if samples < 2:
        raise DataError(f"bootstrap is {samples}; it takes at least 2 samples, and 1000 are usual")
    generator = np.random.default_rng(seed)
    order = np.argsort(ranks, kind="stable")
    ordered, member = ranks[order], np.searchsorted(members, clusters)[order]
    size = len(members)
    draws = (np.bincount(generator.integers(0, size, size), minlength=size) for _ in range(samples))
    return np.array([_summary(ordered, times[member]) for times in draws])


def _summary(ranks: Ints, times: Ints) -> list[float]:
    """Return the scores of ascending ranks that count so many times each; NaN where none counts."""
    sums = np.append(0, times.cumsum())
    count = sums[-1]
    if not count:
        return [np.nan] * len(NAMES)
    recalls = 100 * sums[np.searchsorted(ranks, CUTOFFS, side="right")] / count
    median = ranks[np.searchsorted(sums[1:], [(count - 1) // 2, count // 2], side="right")].mean()
    return [*recalls.tolist(), float(median), float(times @ ranks / count)]


def middle(values: Floats) -> Interval:
    """Return the middle 95 % of drawn values."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))
