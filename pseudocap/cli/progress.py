"""How far a long run has come, on stderr: a bar where it is a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE = 2.0  # seconds before progress is worth a line where no terminal draws a bar


def _beside() -> dict[str, Any]:
    """For a bar on stderr: rich would send what is printed meanwhile to the same place, out of a pipe or a file."""
    from rich.console import Console

    return {"console": Console(stderr=True), "transient": True, "redirect_stdout": sys.stdout.isatty()}


@contextmanager
def progress_of(doing: str, noun: str) -> Iterator[Callable[[int, int], None]]:
    """Call what it gives with how many are done and how many there are in all."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, **_beside()) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    first: float | None = None  # when something was done: loading comes before it, and what is alone needs no line
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal first, told
        first = time.monotonic() if first is None else first
        tenth = 10 * done // total
        if tenth > told and time.monotonic() - first > PATIENCE:
            told = tenth
            print(f"{doing}: {done:,} of {total:,} {noun}", file=sys.stderr, flush=True)

    yield tell


@dataclass(frozen=True, slots=True)
class Stages:
    """`draw(what, done, total)` as a stage goes on (a total of 0: not known yet); `say(text)` is a line that stays."""

    draw: Callable[[str, int, int], None]
    say: Callable[[str], None]


@contextmanager
def stages_of(doing: str) -> Iterator[Stages]:
    """The same for a run of several stages."""
    if sys.stderr.isatty():
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TimeElapsedColumn(), TimeRemainingColumn()),
        )
        with Progress(*columns, **_beside()) as bar:
            task = bar.add_task(doing, total=None)
            stage = ""

            def draw(what: str, done: int, total: int) -> None:
                nonlocal stage
                if what != stage:
                    stage = what
                    bar.reset(task, description=f"{doing}: {what}")
                bar.update(task, completed=done, total=total or None)

            yield Stages(draw, lambda text: bar.console.print(f"{doing}: {text}", markup=False, highlight=False))
        return
    told: tuple[str, int, int] = ("", 0, 0)

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(1, total)
        if (what, total) != told[:2] or tenth > told[2]:  # a stage has parts of other lengths
            told = (what, total, tenth)
            far = f"{done:,} of {total:,}" if total else "begins"
            print(f"{doing}: {what}: {far}", file=sys.stderr, flush=True)

    yield Stages(tell, lambda text: print(f"{doing}: {text}", file=sys.stderr, flush=True))
