"""Whether the videos of a corpus are there and can be decoded, split by split.

A file's first frame is decoded and its end looked up, in processes beside each other; a file that crashes FFmpeg
takes down a worker and not the check.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DecodeError
from pseudocap.types import SplitCoverage

CRASHED = "FFmpeg crashes on it; fetch the file again or convert it"
Progress = Callable[[int, int], None]  # files that are done, files in all


def verify(
    corpus: Corpus, videos: VideoFolder, *, workers: int | None = None, progress: Progress | None = None
) -> tuple[SplitCoverage, ...]:
    """The coverage of every split. `workers` are processes, by default as many as there are cores.

    They are spawned, so a script that calls this keeps its own work under `if __name__ == "__main__"`.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers} and must be at least 1")
    files = {(row.split, row.id): videos.find(row) for row in corpus.rows}
    paths = sorted({path for path in files.values() if path is not None})
    faults = _faults(paths, workers=workers or os.cpu_count() or 1, progress=progress or (lambda done, total: None))
    coverages = []
    for split in corpus.splits:
        rows = {row_id: path for (of, row_id), path in files.items() if of == split}
        coverages.append(
            SplitCoverage(
                split=split,
                videos=len(rows),
                missing=tuple(row_id for row_id, path in rows.items() if path is None),
                undecodable={row_id: faults[path] for row_id, path in rows.items() if path in faults},
            )
        )
    return tuple(coverages)


def fault_of(path: Path) -> str | None:
    """Why the first frame of a file cannot be decoded; None where it can."""
    from pseudocap.video.decode import probe

    try:
        probe(path)
    except DecodeError as error:
        return error.problem  # without the path, which results have no use for
    return None


def _faults(paths: Sequence[Path], *, workers: int, progress: Progress) -> dict[Path, str]:
    """The reason by path, for those that have one."""
    faults: dict[Path, str] = {}
    for done, (path, fault) in enumerate(_tried(paths, workers), start=1):
        if fault is not None:
            faults[path] = fault
        progress(done, len(paths))
    return faults


def _tried(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, str | None]]:
    """Every file with its fault, in the order in which they are done."""
    unsettled: list[Path] = []
    with _pool(workers) as pool:
        with _interrupts_held():
            futures = {pool.submit(fault_of, path): path for path in paths}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                unsettled.append(futures[future])
    # A worker that died took its pool along and did not say of which file: one at a time, each file shows it.
    while unsettled:
        with _pool(1) as pool:
            fault: str | None = None
            while unsettled and fault != CRASHED:
                path = unsettled.pop()
                with _interrupts_held():
                    attempt = pool.submit(fault_of, path)
                try:
                    fault = attempt.result()
                except BrokenProcessPool:
                    fault = CRASHED
                yield path, fault


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned, since a fork would copy the threads and devices that the caller holds; drops what waits at the end."""
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that start in here never see Ctrl-C: it is the parent's, which then lets them finish their file."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
