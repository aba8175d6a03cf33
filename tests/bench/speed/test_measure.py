"""How alternatives are measured: turns, medians, peaks, processes of their own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time

import pytest

from pseudocap.bench.speed.measure import Timing, run_apart, take_turns, times_as_fast


def test_alternatives_take_turns_and_the_median_counts() -> None:
    order: list[str] = []
    pauses = iter([0.0, 0.0, 0.001, 0.001, 0.03, 0.03, 0.002, 0.002])  # one warm-up, three rounds of two

    def run(name: str) -> None:
        order.append(name)
        time.sleep(next(pauses))

    timings = take_turns({name: functools.partial(run, name) for name in "ab"}, rounds=3, warmups=1)
    assert order == list("abababab")
    measured = timings["a"]
    assert all(took >= pause for took, pause in zip(measured.each, (0.001, 0.03, 0.002), strict=True))
    assert [measured.fastest, measured.median, measured.slowest] == sorted(measured.each)


def test_peak_memory_sees_what_was_freed_again() -> None:
    code = (
        "import torch; from pseudocap.bench.speed.measure import peak_memory\n"
        "torch.ones(10)\n"
        "print(peak_memory(lambda: torch.ones(100 * 2**18).sum().item()))"
    )
    peak = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 95 < peak < 130  # MiB


def test_a_ratio_is_of_medians_with_the_least_and_the_most_of_single_rounds() -> None:
    ours = Timing(median=2, fastest=1, slowest=4, processor=2, each=(1, 2, 4))
    theirs = Timing(median=8, fastest=6, slowest=8, processor=8, each=(8, 6, 8))
    assert times_as_fast(ours, theirs) == (4, 2, 8)


def test_what_a_benchmark_prints_apart_is_returned_and_a_failure_is_raised_or_nothing() -> None:
    size = json.loads(run_apart("growth", "references", "--cell", 2))
    assert size["size"] == 2
    assert run_apart("growth", "nothing", check=False) == ""
    with pytest.raises(subprocess.CalledProcessError):
        run_apart("growth", "nothing")
