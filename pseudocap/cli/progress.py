"""Report the progress of a long run on stderr: a bar where it is a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds before progress is worth a line where no terminal draws a bar
EVERY = 10.0  # seconds between lines where the total is unknown


class Display(Protocol):
    """Display progress: `draw` a stage as it goes on, with its name ("" for the only one), a total of 0 where it is
    unknown, and a note; `log` a line that stays."""

    def draw(self, stage: str, done: int, total: int, note: str = "") -> None: ...

    def log(self, text: str) -> None: ...


class Counting(Protocol):
    """Call with how many are done, and how many there are in all."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def progress_of(doing: str, noun: str) -> Iterator[Counting]:
    """Report progress of one stage, counted in `noun`. A run that is over soon prints no line."""
    with stages_of(doing, noun, patience=PATIENCE) as display:
        yield lambda done, total, note="": display.draw("", done, total, note)


def counted(items: Iterable[Item], doing: str) -> Iterator[Item]:
    """Pass items on, and count them on stderr: for what nobody knows the number of."""
    with stages_of(doing, patience=PATIENCE) as display:
        for count, item in enumerate(items, start=1):
            yield item
            display.draw("", count, 0)


@contextmanager
def stages_of(doing: str, noun: str = "", *, patience: float = 0.0) -> Iterator[Display]:
    """Report progress of a run of several stages; lines come once a stage has taken `patience` seconds."""
    if not sys.stderr.isatty():
        yield _Lines(doing, noun, patience)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        *(progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn()),
        *(progress.TextColumn("{task.fields[note]}"), progress.TimeElapsedColumn(), progress.TimeRemainingColumn()),
    )
    # rich would send what is printed meanwhile to stderr as well, out of a pipe or a file
    redirect = sys.stdout.isatty()
    with progress.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect) as bar:
        yield _Bar(bar, doing, noun)


class _Bar:
    def __init__(self, bar: Progress, doing: str, noun: str) -> None:
        self._bar, self._doing, self._noun, self._stage = bar, doing, noun, ""
        self._task = bar.add_task(doing, total=None, note=noun)

    def draw(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage != self._stage:
            self._stage = stage
            self._bar.reset(self._task, description=_joined(": ", self._doing, stage))
        self._bar.update(self._task, completed=done, total=total or None, note=_joined(", ", self._noun, note))

    def log(self, text: str) -> None:
        self._bar.console.print(_joined(": ", self._doing, text), markup=False, highlight=False)


class _Lines:
    """Print a line for every tenth of a stage, or every few seconds where its total is unknown."""

    def __init__(self, doing: str, noun: str, patience: float) -> None:
        self._doing, self._noun, self._patience = doing, noun, patience
        self._part: tuple[str, int] | None = None  # name and total: a stage may have parts of other lengths
        self._begun, self._mark = 0.0, 0

    def draw(self, stage: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if (stage, total) != self._part:
            self._part, self._begun, self._mark = (stage, total), now, 0 if self._patience else -1
        waited = now - self._begun - self._patience
        mark = 10 * done // total if total else int(waited // EVERY) + bool(self._patience)
        if waited < 0 or mark <= self._mark:
            return
        self._mark = mark
        far = f"{done:,} of {total:,}" if total else f"{done:,}" if done else "begins"
        self.log(_joined(": ", stage, _joined(", ", f"{far} {self._noun}".strip(), note)))

    def log(self, text: str) -> None:
        print(_joined(": ", self._doing, text), file=sys.stderr, flush=True)


def _joined(mark: str, *parts: str) -> str:
    return mark.join(filter(None, parts))
