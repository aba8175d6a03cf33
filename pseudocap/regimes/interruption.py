"""End a training at Ctrl-C or SIGTERM where nothing is lost.

The first signal is a request: the checkpoint callback waits for the end of the optimiser's step, and of the validation
that follows it, saves, and raises `Interrupted`. The second ends the run at once, at the checkpoint before.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_only

from pseudocap.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger(__name__)


@contextmanager
def ctrl_c_as_usual() -> Iterator[None]:
    """Raise KeyboardInterrupt where a user stops a trainer: Lightning tidies up, ignores every further Ctrl-C and
    ends the process with exit code 1."""
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise end.__context__ from None


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Raise Interrupted at SIGTERM, which a Lightning trainer otherwise notes and goes on."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped", number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class StopRequest:
    """Note the first signal while a training runs; raise Interrupted at the second."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Replace the handlers of both signals, Lightning's too; one that the caller ignores stays ignored."""
        self._received = None
        if threading.current_thread() is threading.main_thread():
            heard = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._before = {each: signal.signal(each, self._receive) for each in heard}

    def close(self) -> None:
        """Put the former handlers back."""
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def is_made(self, trainer: lightning.Trainer) -> bool:
        """Return whether any rank received a signal; every rank asks at the same moments."""
        made = self._received is not None
        return trainer.strategy.reduce_boolean_decision(made, all=False) if trainer.world_size > 1 else made

    def interrupted(self, text: str) -> Interrupted:
        return Interrupted(text, self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise Interrupted("stopped at once", number)
        self._received = number
        if rank_zero_only.rank == 0:
            with suppress(RuntimeError):  # of a print that the signal came into the middle of
                _log.warning("stopping after this step, with a checkpoint; Ctrl-C stops at once")
