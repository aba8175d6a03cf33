"""Merge the matches of all shards: of every seed the best frames of all videos, each with where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pseudocap.files.remote import AnyPath
from pseudocap.mine.frame_index import read_arrays
from pseudocap.mine.match import Hits, TopMatches
from pseudocap.mine.shard import LOWEST, Mined, MineSpec

FRAMES = 2**40  # of a shard, at most: among all shards a frame is numbered shard * FRAMES + frame


def matches_path(folder: AnyPath, number: int) -> AnyPath:
    return folder / "matches" / f"{number:06d}.npz"


def read_matches(folder: AnyPath, number: int) -> Mined:
    """Read the best matches of every seed in one shard, with the shard's videos."""
    return Mined.of(number, read_arrays(matches_path(folder, number)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """Hold matches with the shard, the video in it and the moment of each."""

    hits: Hits
    film: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def shard(self) -> np.ndarray:
        return self.hits.frames // FRAMES

    def at(self, which: np.ndarray) -> Matches:
        return Matches(hits=self.hits.at(which), film=self.film[which], time=self.time[which])

    def at_least(self, threshold: float) -> Matches:
        return self.at(self.hits.similarities >= np.float32(threshold))


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged(Matches):
    """Hold the best matches of every seed over all shards, from LOWEST or the threshold on, and what they are of."""

    films: int
    frames: int
    failed: Mapping[str, str]
    left_out: Mapping[str, int]
    best: float


def merge_matches(folder: AnyPath, shards: int, seeds: int, spec: MineSpec) -> Merged:
    """Merge the heaps of all shards, and look up where what is left in them lies."""
    top = TopMatches(seeds, spec.top, at_least=min(spec.threshold, LOWEST))
    films = frames = 0
    failed: dict[str, str] = {}
    left_out: dict[str, int] = {}
    best = -1.0
    for number in range(shards):
        mined = read_matches(folder, number)
        top.add(Hits(seeds=mined.seeds, similarities=mined.similarities, frames=mined.frames + number * FRAMES))
        films, frames, best = films + len(mined.films.names), frames + mined.count, max(best, mined.best)
        failed |= {name: why for name, why in zip(mined.films.names, mined.films.problems, strict=True) if why}
        for reason in mined.films.left_out.values():
            left_out[reason] = left_out.get(reason, 0) + 1
    hits = top.hits()
    film_H, time_H = np.zeros(len(hits), np.int64), np.zeros(len(hits))
    for number in np.unique(hits.frames // FRAMES).tolist():
        mined = read_matches(folder, number)
        here = np.flatnonzero(hits.frames // FRAMES == number)
        known, where = np.unique(mined.frames, return_index=True)
        entry = where[np.searchsorted(known, hits.frames[here] - number * FRAMES)]
        film_H[here], time_H[here] = mined.film[entry], mined.time[entry]
    return Merged(
        hits=hits, film=film_H, time=time_H, films=films, frames=frames, failed=failed, left_out=left_out, best=best
    )
