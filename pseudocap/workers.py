"""Run a function in worker processes: results come in order, and an item that crashes a process fails alone.

A file that crashes FFmpeg ends its process, and nobody reports which file it was. The unfinished items are then done
again one by one, in a process that does nothing else, until the one that crashes it is found; then all continue.

Processes are started anew, not forked: a fork of a process with torch's threads may hang. A script that uses them
keeps its own work under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import multiprocessing
import operator
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, TypeVar

from pseudocap.errors import PseudocapError

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # items for each worker that are submitted and not finished
THREADS = 4  # at most, where threads do the work


class CrashError(PseudocapError):
    """Report that a worker's item has killed it, twice."""

    def __init__(self) -> None:
        super().__init__(
            "a worker process was killed, twice at the same task (is the memory full?); take fewer workers"
        )


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    crashed: Callable[[Item], Result] | None = None,
    ahead: int = AHEAD,
) -> Iterator[Result]:
    """Yield the result of a function for each item, in their order; with 0 workers computed in this process.

    `crashed` gives the result of an item that crashes its process; without it that is a CrashError.
    """
    if not workers:
        yield from map(function, items)
        return
    with Pool(workers, function) as pool:
        yield from pool.ordered(items, crashed=crashed, ahead=ahead)


@dataclass(eq=False, slots=True)
class Job:
    """Hold the arguments of a call in a worker, and its future once it is submitted."""

    arguments: tuple[Any, ...]
    future: Future[Any] | None = None


class Pool:
    """Call a function in worker processes; of size 0 in threads, of which there are `threads` (None: a few). By default
    a job's first argument is its function.

    `preload` names modules that the first process imports, from which all are forked: one that has crashed is soon
    replaced. They must start no threads.
    """

    def __init__(
        self,
        size: int,
        function: Callable[..., Any] = operator.call,
        *,
        preload: Sequence[str] = (),
        threads: int | None = None,
    ) -> None:
        if size and preload:
            multiprocessing.set_forkserver_preload(list(preload))
        self.size = size or threads or min(THREADS, os.cpu_count() or 1)
        self._function, self._threads = function, not size
        self._executor = self._start(self.size)
        self._waiting: list[Job] = []  # submitted, with a result that nobody has requested yet
        self._suspects: set[Job] = set()  # one of them has crashed a process

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def ordered(
        self, items: Iterable[Item], *, crashed: Callable[[Item], Any] | None = None, ahead: int = AHEAD
    ) -> Iterator[Any]:
        """Yield results as the function `ordered` does, for one series of items after another."""
        left, begun = iter(items), deque[tuple[Item, Job]]()
        while True:
            room = 1 + ahead * self.size - len(begun)  # one is waited for, the others are under way
            for item in islice(left, room):
                begun.append((item, Job((item,))))
                self.submit(begun[-1][1])
            if not begun:
                return
            item, job = begun.popleft()
            try:
                result = self.result(job)
            except CrashError:
                if crashed is None:
                    raise
                result = crashed(item)
            yield result

    def submit(self, job: Job) -> None:
        """Start a job, unless it has started."""
        if job not in self._waiting:
            self._waiting.append(job)
        if job.future is None and not self._suspects:
            with suppress(BrokenProcessPool):  # noticed, and repaired, when a result is waited for
                job.future = self._send(job)

    def result(self, job: Job) -> Any:
        """Return a job's result; CrashError where it crashes a process that does nothing else."""
        self.submit(job)
        try:
            if job.future is not None:
                with suppress(BrokenProcessPool):
                    return job.future.result()
            if not self._suspects:
                self._suspect(job)
            return self._alone(job)
        finally:
            self._waiting.remove(job)
            if job in self._suspects:
                self._suspects.remove(job)
                if not self._suspects:
                    self._replace(self.size)
                    for each in self._waiting:
                        self.submit(each)

    def _suspect(self, job: Job) -> None:
        """Mark it as a suspect, and all whose results were lost with the processes."""
        for each in self._waiting:
            future = each.future
            lost = future is not None and (not future.done() or isinstance(future.exception(), BrokenProcessPool))
            if lost or each is job:
                each.future = None
                self._suspects.add(each)
        self._replace(1)

    def _alone(self, job: Job) -> Any:
        try:
            return self._send(job).result()
        except BrokenProcessPool:
            self._suspects = {job}
            raise CrashError from None

    def _replace(self, size: int) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._start(size)

    def _start(self, size: int) -> Executor:
        if self._threads:
            return ThreadPoolExecutor(size)
        context = multiprocessing.get_context("forkserver")
        return ProcessPoolExecutor(size, mp_context=context, initializer=_begin, initargs=(self._function,))

    def _send(self, job: Job) -> Future[Any]:
        if self._threads:
            return self._executor.submit(self._function, *job.arguments)
        with _interrupts_held():
            return self._executor.submit(_call, *job.arguments)


_function: Callable[..., Any] = operator.call  # in a worker: what it calls


def _call(*arguments: Any) -> Any:
    return _function(*arguments)


def _begin(function: Callable[..., Any]) -> None:
    """Set up a worker: store the function once, compute in one thread, and exit when the parent does.

    A worker whose parent was killed would wait for work for ever. Ctrl-C is the parent's, which ends the workers.
    """
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _function = function
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a worker"

    def exit_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that never get Ctrl-C, not even before they can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
