"""Worker processes: order, and what crashes one costs only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import crashing_work, torch_work
from helpers.crashing_work import Given, squared

from pseudocap.workers import CrashError, Job, Pool, ordered


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(ordered(squared, range(5), workers=workers)) == [0, 1, 4, 9, 16]
    assert list(ordered(squared, [], workers=workers)) == []
    with pytest.raises(ValueError, match="13 has no square"):
        list(ordered(squared, [1, 13, 2], workers=workers))


@pytest.mark.slow
@pytest.mark.parametrize("items", [[1, -1, 2, 3], [-1], [1, 2, 3, -1], [-1, -2, 3, -3, 4, 5, 6, -4]])
def test_a_crash_costs_its_own_item_alone(items: list[int]) -> None:
    found = list(ordered(squared, items, workers=2, crashed=lambda item: item))
    assert found == [item if item < 0 else item * item for item in items]


def test_what_crashes_is_an_error_where_nobody_says_what_it_gives() -> None:
    results: Iterator[int] = ordered(squared, [2, -1], workers=1)
    assert next(results) == 4
    with pytest.raises(CrashError, match="a worker process was killed, twice at the same task"):
        next(results)


def test_a_worker_that_is_killed_from_outside_costs_nothing() -> None:
    with Pool(1) as pool:
        process = pool.result(Job((os.getpid,)))
        os.kill(process, signal.SIGKILL)
        jobs = [Job((squared, number)) for number in range(4)]
        for job in jobs:
            pool.submit(job)
        assert [pool.result(job) for job in jobs] == [0, 1, 4, 9]


def test_a_pool_of_none_has_threads_of_this_process() -> None:
    with Pool(0) as pool:
        assert pool.result(Job((os.getpid,))) == os.getpid()
        assert pool.result(Job((threading.current_thread,))) is not threading.main_thread()
    with Pool(0, squared) as pool:
        assert list(pool.ordered([3, 4])) == [9, 16]
        assert list(pool.ordered([5])) == [25]


def test_a_function_travels_once_to_each_worker_whatever_the_number_of_items(tmp_path: Path) -> None:
    found = list(ordered(Given(tmp_path), range(50), workers=2))
    assert [item for item, _ in found] == list(range(50))
    assert {path.name for path in tmp_path.iterdir()} >= {str(process) for _, process in found}
    assert [path.read_text() for path in tmp_path.iterdir()] == ["x"] * len(list(tmp_path.iterdir()))


def test_no_more_is_under_way_than_was_asked_for() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20, 40):
            taken.append(number)
            yield number

    results = ordered(squared, items(), workers=1, ahead=3)
    for number in range(20, 36):
        assert next(results) == number**2
        assert len(taken) == number - 20 + 4, "the one that was given, and three"


def test_torch_computes_in_one_thread_of_a_worker_and_is_not_imported_for_that() -> None:
    assert list(ordered(torch_work.threads, [0], workers=1)) == [1]
    code = "import sys, pseudocap.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def script(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, crashing_work.__file__, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it runs in the background with Ctrl-C ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process
    process.kill()
    process.communicate()


def gone(process: subprocess.Popen[str]) -> bool:
    """Whether nobody of its session is left after a while."""
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_workers_leave_with_a_parent_that_is_killed(script: subprocess.Popen[str]) -> None:
    assert script.stdout is not None
    while script.stdout.readline() != "one\n":
        assert script.poll() is None
    script.kill()
    script.wait()
    assert gone(script)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["started\n", "one\n"])
def test_ctrl_c_is_the_parents_whenever_it_comes(script: subprocess.Popen[str], when: str) -> None:
    assert script.stdout is not None
    while script.stdout.readline() != when:
        assert script.poll() is None
    if when == "started\n":
        time.sleep(0.1)  # processes are just being started
    os.killpg(script.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, err = script.communicate(timeout=20)
    assert err.count("Traceback") == 1, "that of the parent"
    assert err.endswith("KeyboardInterrupt\n")
    assert gone(script)
