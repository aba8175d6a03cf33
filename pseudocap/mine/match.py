"""Find the best matches of every seed among frames that stream by: exact, linear in the frames, a heap for each seed.

Seeds stay in memory, frames come in blocks. The product of some seeds and a block of frames is compared with each
seed's bound, what a similarity must exceed to enter its heap, so that one pass discards almost all of it; the few that
pass enter the heaps together, sorted. Heaps over parts of the frames merge into that over all of them.

Each thread multiplies some seeds by itself, in one thread of the BLAS: no thread waits for another, a product is read
again while it is in the cache, and its rounding does not depend on the number of threads. Against faiss's exact search
it took 23.9 s of processor time to 32.0 s for 20,000 seeds and 200,000 frames, but 18.0 s to 16.5 s for 100,000 seeds
and 20,000 frames, whose heaps are still being filled (`pseudocap bench mining`, docs/experiments.md).

Legend of the shape suffixes: S seeds, K matches of a seed, N frames, E width, H hits.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pseudocap.workers import Pool

FRAMES_AT_ONCE = 2048  # of a block, unless one film has more
SEEDS_AT_ONCE, PRODUCTS = 256, 2**19  # of a thread: seeds at most, and values of their product: 2 MiB
ROUNDING = 2.0**-7  # at most, of a product of unit vectors in bfloat16: of both factors and of the result


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameBlock:
    """Hold unit vectors [N,E] of frames, numbered from `first` on; `films` and `times` say where each is from.

    Without `films` every frame is one by itself. A film is never split over two blocks.
    """

    vectors: np.ndarray
    first: int = 0
    films: np.ndarray | None = None
    times: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """Hold pairs of a seed and a frame, each with its similarity."""

    seeds: np.ndarray
    similarities: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)

    def at(self, which: np.ndarray) -> Hits:
        return Hits(seeds=self.seeds[which], similarities=self.similarities[which], frames=self.frames[which])

    @property
    def order(self) -> np.ndarray:
        """Return the order by seed, the best first, of equals that with the smaller number of a frame."""
        return np.lexsort((self.frames, -self.similarities, self.seeds))


class TopMatches:
    """Hold the `top` best matches of every seed: similarities [S,K], falling, and the numbers of their frames, -1 where
    there are none. Of equally similar frames the one with the smaller number is better."""

    def __init__(self, seeds: int, top: int, *, at_least: float = -np.inf) -> None:
        self.similarity_SK = np.full((seeds, top), -np.inf, np.float32)
        self.frame_SK = np.full((seeds, top), -1, np.int64)
        self.bound_S = np.full(seeds, np.nextafter(np.float32(at_least), np.float32(-np.inf)), np.float32)

    def add(self, hits: Hits) -> None:
        """Enter hits, in any order. Of one frame there is at most one for each seed."""
        if not len(hits):
            return
        rows = np.unique(hits.seeds)
        top = self.frame_SK.shape[1]
        similarity_RK, frame_RK = self.similarity_SK[rows], self.frame_SK[rows]
        old = frame_RK >= 0
        both = Hits(
            seeds=np.concatenate([np.repeat(rows, top)[old.ravel()], hits.seeds]),
            similarities=np.concatenate([similarity_RK[old], hits.similarities]),
            frames=np.concatenate([frame_RK[old], hits.frames]),
        )
        both = both.at(both.order)
        rank_H = _rank_within(both.seeds)
        both, rank_H = both.at(rank_H < top), rank_H[rank_H < top]
        self.similarity_SK[both.seeds, rank_H], self.frame_SK[both.seeds, rank_H] = both.similarities, both.frames
        full = rows[self.frame_SK[rows, -1] >= 0]
        self.bound_S[full] = self.similarity_SK[full, -1]

    def hits(self) -> Hits:
        """Return what is in the heaps, by seed, the best first."""
        seed_H, rank_H = np.nonzero(self.frame_SK >= 0)
        return Hits(seeds=seed_H, similarities=self.similarity_SK[seed_H, rank_H], frames=self.frame_SK[seed_H, rank_H])


@dataclass(kw_only=True)
class Matcher:
    """Compare blocks of frames with all seeds [S,E], on the `device`; on a CPU by `threads`, by default all cores'.

    Matches of a seed in one film lie at least `apart` seconds from each other, the best first: neighbouring frames show
    the same moment. On a GPU products are in bfloat16, and what may pass is compared again in float32.
    """

    seeds: np.ndarray
    apart: float = 0.0
    device: str = "cpu"
    threads: int | None = None
    _own: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        self.seeds = np.ascontiguousarray(self.seeds, np.float32)
        if self.device != "cpu":
            self._seeds_there = self._sent(self.seeds)

    def match(self, block: FrameBlock, top: TopMatches) -> float:
        """Enter the matches of a block into the heaps; return the highest similarity in it."""
        count = len(block.vectors)
        if not count:
            return -np.inf
        frames_NE = np.ascontiguousarray(block.vectors, np.float32)
        there = None if self.device == "cpu" else self._sent(frames_NE)
        step = max(1, min(SEEDS_AT_ONCE, PRODUCTS // count)) if there is None else max(1, 2**28 // count)

        def some(first: int) -> float:
            span = slice(first, min(first + step, len(self.seeds)))
            if there is None:
                best, hits = self._compared(span, frames_NE, top, block)
            else:
                best, hits = self._compared_there(span, there, top)
            top.add(self._numbered(hits, block, top.frame_SK.shape[1]))
            return best

        firsts = range(0, len(self.seeds), step)
        if there is not None:
            return max(map(some, firsts))
        with _one_blas_thread() as alone:
            threads = (self.threads or len(os.sched_getaffinity(0))) if alone else 1
            with Pool(0, some, threads=threads) as pool:
                return max(pool.ordered(firsts))

    def _compared(self, span: slice, frames_NE: np.ndarray, top: TopMatches, block: FrameBlock) -> tuple[float, Hits]:
        """Return the highest similarity, and what is above its seed's bound."""
        shape = span.stop - span.start, len(frames_NE)
        buffer: np.ndarray | None = getattr(self._own, "buffer", None)
        if buffer is None or buffer.size < shape[0] * shape[1]:
            buffer = self._own.buffer = np.empty(max(PRODUCTS, shape[0] * shape[1]), np.float32)
        product_SN = buffer[: shape[0] * shape[1]].reshape(shape)
        np.matmul(self.seeds[span], frames_NE.T, out=product_SN)
        highest_S = product_SN.max(axis=1)
        rows = np.flatnonzero(highest_S > top.bound_S[span])
        product_RN, bound_R = product_SN[rows], top.bound_S[span][rows]
        enough = top.frame_SK.shape[1] * (1 + _neighbours(block, self.apart))
        if enough < shape[1]:  # what that many are better than cannot be among the best
            crowded = np.flatnonzero(np.count_nonzero(product_RN > bound_R[:, None], axis=1) > 2 * enough)
            worst = np.partition(product_RN[crowded], shape[1] - enough, axis=1)[:, shape[1] - enough]
            bound_R[crowded] = np.maximum(bound_R[crowded], np.nextafter(worst, np.float32(-np.inf)))
        row_H, frame_H = np.nonzero(product_RN > bound_R[:, None])
        hits = Hits(seeds=rows[row_H] + span.start, similarities=product_RN[row_H, frame_H], frames=frame_H)
        return float(highest_S.max()), hits

    def _compared_there(self, span: slice, frames_NE: Any, top: TopMatches) -> tuple[float, Hits]:
        """Compare on a GPU: in bfloat16, which discards what is surely below the bound, the rest in float32."""
        import torch

        seeds_SE = self._seeds_there[span]
        bound_S = torch.from_numpy(top.bound_S[span]).to(frames_NE.device)
        product_SN = (seeds_SE.bfloat16() @ frames_NE.bfloat16().T).float()
        row_H, frame_H = torch.nonzero(product_SN > (bound_S - ROUNDING)[:, None], as_tuple=True)
        parts = [(seeds_SE[rows] * frames_NE[frames]).sum(dim=1) for rows, frames in _pieces(row_H, frame_H)]
        similarity_H = torch.cat(parts) if parts else product_SN.new_zeros(0)
        passed = similarity_H > bound_S[row_H]
        hits = Hits(
            seeds=row_H[passed].cpu().numpy() + span.start,
            similarities=similarity_H[passed].cpu().numpy(),
            frames=frame_H[passed].cpu().numpy(),
        )
        best = similarity_H.max() if len(similarity_H) else product_SN.max()
        return float(best), hits

    def _numbered(self, hits: Hits, block: FrameBlock, top: int) -> Hits:
        """Keep of neighbouring frames the best, and number them among all frames."""
        if self.apart > 0 and block.films is not None and block.times is not None and len(hits):
            hits = _apart(hits, block.films, block.times, self.apart, top)
        return Hits(seeds=hits.seeds, similarities=hits.similarities, frames=hits.frames + block.first)

    def _sent(self, vectors: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(vectors).to(self.device)


def _pieces(row_H: Any, frame_H: Any) -> Iterator[tuple[Any, Any]]:
    return zip(row_H.split(2**18), frame_H.split(2**18), strict=True)


def _rank_within(sorted_H: np.ndarray) -> np.ndarray:
    """Return the rank of each of sorted values among its equals, from 0 on."""
    begins = np.flatnonzero(np.r_[True, sorted_H[1:] != sorted_H[:-1]])
    return np.arange(len(sorted_H)) - np.repeat(begins, np.diff(np.r_[begins, len(sorted_H)]))


def _neighbours(block: FrameBlock, apart: float) -> int:
    """Return how many frames of a film, at most, lie less than `apart` seconds from one of them."""
    if apart <= 0 or block.films is None or block.times is None or len(block.times) < 2:
        return 0
    steps = np.diff(block.times)[np.diff(block.films) == 0]
    return 2 * int(np.ceil(apart / max(steps.min(), 1e-3))) if len(steps) else 0


def _apart(hits: Hits, films: np.ndarray, times: np.ndarray, apart: float, top: int) -> Hits:
    """Keep of each seed the best hit, then the best that is not near one that is kept, up to `top` of them."""
    left = hits.at(hits.order)
    kept = []
    for _ in range(top):
        if not len(left):
            break
        seeds, begins = np.unique(left.seeds, return_index=True)
        kept.append(left.at(begins))
        of = begins[np.searchsorted(seeds, left.seeds)]  # the one just kept of the same seed
        film_H, time_H = films[left.frames], times[left.frames]
        near = (film_H == film_H[of]) & (np.abs(time_H - time_H[of]) < apart)
        near[begins] = True
        left = left.at(~near)
    return Hits(**{name: np.concatenate([getattr(some, name) for some in kept]) for name in Hits.__slots__})


@functools.cache
def _blas() -> Any:
    with contextlib.suppress(ImportError):
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()
    return None


@contextmanager
def _one_blas_thread() -> Iterator[bool]:
    """Limit NumPy's BLAS to one thread where threadpoolctl is installed; say whether it is. Without it a product is
    computed by all threads of the BLAS, which is slower."""
    if (controller := _blas()) is None:
        yield False
        return
    with controller.limit(limits=1, user_api="blas"):
        yield True
