"""The heaps hold what a full comparison would, whatever the blocks, the threads and the order."""

from __future__ import annotations

import numpy as np
import pytest

from pseudocap.mine import match
from pseudocap.mine.match import FrameBlock, Hits, Matcher, TopMatches


def unit(count: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


SEEDS, FRAMES = unit(150, 24, 0), unit(900, 24, 1)
FILMS, TIMES = np.repeat(np.arange(9), 100), np.tile(np.arange(100) + 0.5, 9)


def naive(top: int, *, at_least: float = -np.inf, apart: float = 0.0) -> list[list[int]]:
    """Of every seed the frames, the best first, those near a better one of the same film left out."""
    found = []
    for similarities in SEEDS @ FRAMES.T:
        kept: list[int] = []
        for frame in np.argsort(-similarities, kind="stable"):
            near = any(FILMS[frame] == FILMS[k] and abs(TIMES[frame] - TIMES[k]) < apart for k in kept)
            if len(kept) < top and similarities[frame] >= at_least and not near:
                kept.append(int(frame))
        found.append(kept)
    return found


def entries(top: TopMatches) -> list[list[int]]:
    return [[frame for frame in row.tolist() if frame >= 0] for row in top.frame_SK]


def matched(
    cuts: list[int], top: int, *, at_least: float = -np.inf, apart: float = 0.0, threads: int = 1
) -> TopMatches:
    heaps, matcher = TopMatches(len(SEEDS), top, at_least=at_least), Matcher(seeds=SEEDS, apart=apart, threads=threads)
    best = -1.0
    for first, end in zip([0, *cuts], [*cuts, len(FRAMES)], strict=True):
        span = slice(first, end)
        block = FrameBlock(vectors=FRAMES[span], first=first, films=FILMS[span], times=TIMES[span])
        best = max(best, matcher.match(block, heaps))
    assert best == pytest.approx(float((SEEDS @ FRAMES.T).max()), abs=1e-6)
    return heaps


@pytest.mark.parametrize("cuts", [[], [200], [100, 300, 800]])
@pytest.mark.parametrize(("at_least", "apart"), [(-np.inf, 0.0), (0.4, 0.0), (-np.inf, 7.0), (0.3, 10.0)])
def test_heaps_hold_what_a_full_sort_would(cuts: list[int], at_least: float, apart: float) -> None:
    assert entries(matched(cuts, 5, at_least=at_least, apart=apart)) == naive(5, at_least=at_least, apart=apart)


def test_blocks_of_seeds_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "SEEDS_AT_ONCE", 17)
    one, three = matched([400], 5, threads=1), matched([400], 5, threads=3)
    assert entries(one) == naive(5)
    assert np.array_equal(one.frame_SK, three.frame_SK)
    assert np.array_equal(one.similarity_SK, three.similarity_SK)


def test_merged_heaps_are_those_of_all_frames() -> None:
    all_at_once, merged = matched([], 4), TopMatches(len(SEEDS), 4)
    for first in (600, 0, 300):  # in any order
        part, matcher = TopMatches(len(SEEDS), 4), Matcher(seeds=SEEDS)
        matcher.match(FrameBlock(vectors=FRAMES[first : first + 300]), part)
        hits = part.hits()
        merged.add(Hits(seeds=hits.seeds, similarities=hits.similarities, frames=hits.frames + first))
    assert np.array_equal(merged.frame_SK, all_at_once.frame_SK)


def test_of_equally_similar_frames_the_first_count() -> None:
    heaps = TopMatches(1, 3)
    matcher = Matcher(seeds=FRAMES[:1])
    same = np.repeat(FRAMES[:1], 50, axis=0)
    matcher.match(FrameBlock(vectors=same), heaps)
    matcher.match(FrameBlock(vectors=same, first=50), heaps)
    assert heaps.frame_SK.tolist() == [[0, 1, 2]]


def test_a_similarity_that_equals_the_threshold_is_a_match() -> None:
    seeds = np.array([[1.0, 0.0]], np.float32)
    frames = np.array([[0.6, 0.8], [0.59, np.sqrt(1 - 0.59**2)]], np.float32)
    heaps = TopMatches(1, 3, at_least=0.6)
    Matcher(seeds=seeds).match(FrameBlock(vectors=frames), heaps)
    assert heaps.frame_SK.tolist() == [[0, -1, -1]]


def test_bfloat16_discards_only_what_float32_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of a GPU, on a CPU: products in bfloat16, what may pass again in float32."""
    import torch

    matcher = Matcher(seeds=SEEDS)
    matcher._seeds_there = torch.from_numpy(SEEDS)
    heaps = TopMatches(len(SEEDS), 5, at_least=0.2)
    for first in range(0, 900, 300):
        frames = torch.from_numpy(FRAMES[first : first + 300])
        _, hits = matcher._compared_there(slice(0, len(SEEDS)), frames, heaps)
        heaps.add(Hits(seeds=hits.seeds, similarities=hits.similarities, frames=hits.frames + first))
    assert entries(heaps) == naive(5, at_least=0.2)
