"""Match synthetic seeds with synthetic frames, ours beside faiss's exact search: `pseudocap bench mining`.

Each way runs in a process of its own and prints its seconds, processor time and peak memory; the vectors are the same.
Ours reads the frames block by block as they come; faiss holds them all, as its index does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.bench.speed.measure import high_water_mark
from pseudocap.bench.tables import table
from pseudocap.mine.match import FRAMES_AT_ONCE, PRODUCTS, FrameBlock, Matcher, TopMatches

TOP, PART = 10, FRAMES_AT_ONCE
WAYS = ("ours", "faiss, exact")
HEADINGS = ("way", "seconds", "processor (s)", "GFLOP/s", "peak MiB above the imports", "same matches as ours")


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchingTimes:
    """Hold what one way took: seconds, of them computed (of all threads), bytes at its peak above those of its imports,
    and the share of its matches that are ours too."""

    name: str
    seconds: float
    processor: float
    peak: int
    same: float


def race_matching(
    seeds: int, frames: int, dim: int, *, seed: int, threads: int, log: Callable[[str], None]
) -> list[MatchingTimes]:
    """Measure both ways, one after the other."""
    results: list[MatchingTimes] = []
    with tempfile.TemporaryDirectory(prefix="pseudocap-") as folder:
        first: np.ndarray | None = None
        for way in WAYS:
            log(way)
            found = Path(folder) / "found.npy"
            measured = measure_way(way, seeds, frames, dim, seed=seed, threads=threads, found=found)
            numbers = np.sort(np.load(found), axis=1)
            first = numbers if first is None else first
            same = np.mean([len(np.intersect1d(a, b)) / TOP for a, b in zip(numbers, first, strict=True)])
            results.append(MatchingTimes(name=way, **measured, same=float(same)))
    return results


def measure_way(way: str, seeds: int, frames: int, dim: int, *, seed: int, threads: int, found: Path) -> dict[str, Any]:
    """Run one way in a process of its own, which writes the matches to `found`."""
    arguments = json.dumps([way, seeds, frames, dim, seed, threads, str(found)])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "pseudocap.bench.speed.mining", arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def matching_table(results: list[MatchingTimes], seeds: int, frames: int, dim: int, *, threads: int) -> str:
    work = 2 * seeds * frames * dim / 1e9
    rows = [
        (each.name, f"{each.seconds:,.1f}", f"{each.processor:,.1f}", f"{work / each.seconds:,.0f}",
         f"{each.peak / 2**20:,.0f}", f"{each.same:.4f}")
        for each in results
    ]  # fmt: skip
    block = seeds_and_block(seeds, dim, threads=threads)
    note = f"seeds {4 * seeds * dim / 2**20:,.0f} MiB; with one block {block / 2**20:,.0f} MiB"
    return f"{table(HEADINGS, rows)}\n\n{note}"


def seeds_and_block(seeds: int, dim: int, *, threads: int) -> int:
    """Return the bytes of the seeds, of a block of frames, and of what each thread multiplies at a time."""
    return 4 * (seeds * dim + FRAMES_AT_ONCE * dim + threads * PRODUCTS)


def unit_parts(count: int, dim: int, seed: int) -> Iterator[np.ndarray]:
    """Draw unit vectors, a part at a time, each by a stream of its own."""
    for first in range(0, count, PART):
        rng = np.random.default_rng([seed, first])
        vectors = rng.standard_normal((min(PART, count - first), dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield vectors


def _ours(seeds: np.ndarray, frames: int, dim: int, seed: int, threads: int) -> tuple[np.ndarray, float, float]:
    matcher, heaps, first = Matcher(seeds=seeds, threads=threads), TopMatches(len(seeds), TOP), 0
    seconds = processor = 0.0
    for part in unit_parts(frames, dim, seed + 1):
        begun, computed = time.perf_counter(), time.process_time()
        for start in range(0, len(part), FRAMES_AT_ONCE):
            matcher.match(FrameBlock(vectors=part[start : start + FRAMES_AT_ONCE], first=first + start), heaps)
        seconds, processor = seconds + time.perf_counter() - begun, processor + time.process_time() - computed
        first += len(part)
    return heaps.frame_SK, seconds, processor


def _faiss(seeds: np.ndarray, frames: int, dim: int, seed: int, threads: int) -> tuple[np.ndarray, float, float]:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(dim)
    for part in unit_parts(frames, dim, seed + 1):
        index.add(part)
    begun, computed = time.perf_counter(), time.process_time()
    _, numbers = index.search(seeds, TOP)
    return numbers, time.perf_counter() - begun, time.process_time() - computed


def main(arguments: str) -> None:
    """Run one way in this process."""
    way, seeds, frames, dim, seed, threads, found = json.loads(arguments)
    if way != "ours":
        import faiss  # noqa: F401 - its import is no part of the peak
    np.matmul(*np.ones((2, 512, 512), np.float32))  # the BLAS takes its own buffers once
    before = high_water_mark()
    vectors = np.empty((seeds, dim), np.float32)
    for first, part in zip(range(0, seeds, PART), unit_parts(seeds, dim, seed), strict=True):
        vectors[first : first + len(part)] = part
    run = _ours if way == "ours" else _faiss
    numbers, seconds, processor = run(vectors, frames, dim, seed, threads)
    peak = round((high_water_mark() - before) * 2**20)
    np.save(found, numbers)
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reckoning:
    """Reckon a run by arithmetic alone, no measurement: videos of so many minutes, a frame a second, the encoder's
    operations for a frame, and what machines compute. Stage one decodes and embeds, stage two compares."""

    videos: float = 150e6
    minutes: float = 5.0
    seeds: float = 1.25e6
    dim: int = 256
    encoder_flop: float = 0.8e9
    decode_rate: float = 400.0  # seconds of video that one core decodes in a second, by seeking
    cpu_flops: float = 1e11  # of one core
    gpu_flops: float = 3e14  # of one GPU in bfloat16, as achieved

    def rows(self) -> list[tuple[str, str]]:
        frames = self.videos * self.minutes * 60
        embed, compare = frames * self.encoder_flop, 2 * self.seeds * frames * self.dim
        heaps = self.seeds * TOP * 12
        return [
            ("frames", f"{frames:.3g}"),
            ("stage one, decoding (core hours)", f"{frames / self.decode_rate / 3600:,.0f}"),
            ("stage one, embedding (FLOP)", f"{embed:.3g}"),
            ("stage one, embedding (GPU hours)", f"{embed / self.gpu_flops / 3600:,.0f}"),
            ("vectors if kept, float32 (TB)", f"{4 * frames * self.dim / 1e12:,.0f}"),
            ("stage two, comparing (FLOP)", f"{compare:.3g}"),
            ("stage two (core hours)", f"{compare / self.cpu_flops / 3600:,.0f}"),
            ("stage two (GPU hours)", f"{compare / self.gpu_flops / 3600:,.0f}"),
            ("a worker's seeds and heaps (GB)", f"{(4 * self.seeds * self.dim + heaps) / 1e9:.2f}"),
            ("matches that a shard sends, at most (MB)", f"{self.seeds * TOP * 40 / 1e6:,.0f}"),
        ]


if __name__ == "__main__":
    main(sys.argv[1])
