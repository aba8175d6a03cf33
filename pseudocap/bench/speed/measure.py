"""Measure alternatives that take turns in one process, by the median of the rounds, as everything here does.

Turns cancel what the machine does meanwhile (other jobs, clock changes), so a ratio of medians holds where an
absolute time would not. Peak memory is read in a process of its own, from the kernel's high-water mark.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Hold seconds per run of one alternative; `processor` is the median time that this process itself computed."""

    median: float
    fastest: float
    slowest: float
    processor: float
    each: tuple[float, ...] = ()  # round by round


def take_turns(alternatives: Mapping[str, Callable[[], object]], *, rounds: int, warmups: int = 1) -> dict[str, Timing]:
    for run in alternatives.values():
        for _ in range(warmups):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    computed: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, run in alternatives.items():
            started, before = time.perf_counter(), time.process_time()
            run()
            computed[name].append(time.process_time() - before)
            seconds[name].append(time.perf_counter() - started)
    return {
        name: Timing(
            median=statistics.median(times),
            fastest=min(times),
            slowest=max(times),
            processor=statistics.median(computed[name]),
            each=tuple(times),
        )
        for name, times in seconds.items()
    }


def times_as_fast(ours: Timing, theirs: Timing) -> tuple[float, float, float]:
    """Return the ratio of the medians, and the least and the most of single rounds."""
    rounds = [other / own for own, other in zip(ours.each, theirs.each, strict=True)]
    return theirs.median / ours.median, min(rounds), max(rounds)


def parser_of(benchmark: str, description: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Build the options of `python -m pseudocap.bench.speed.BENCHMARK`, where it has rounds with their usual number."""
    formatter = argparse.RawDescriptionHelpFormatter
    prog = f"python -m pseudocap.bench.speed.{benchmark}"
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=formatter)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"how often everyone runs ({rounds})")
    return parser


def run_apart(benchmark: str, *words: object, check: bool = True) -> str:
    """Return what a benchmark prints in a process of its own; nothing where that ends in failure and `check` is off."""
    command = [sys.executable, "-m", f"pseudocap.bench.speed.{benchmark}", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check)
    return done.stdout if done.returncode == 0 else ""


def peak_memory(run: Callable[[], object]) -> float:
    """Return the MiB by which this process grew at most in one run. Meaningful in a process that does nothing else."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():  # on Linux the mark falls back to what is in use now, elsewhere it stays where it was
        clear.write_text("5")
    before = high_water_mark()
    run()
    return high_water_mark() - before


def high_water_mark() -> float:
    """Return the most MiB that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10
