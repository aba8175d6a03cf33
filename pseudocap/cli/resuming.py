"""Resume a training: find its last checkpoint, and say where an interrupted one can go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pseudocap.errors import CheckpointError, ConfigError, Interrupted
from pseudocap.regimes.table import LAST


def checkpoint_of(out: str, *, resume: bool) -> str | None:
    """Return the checkpoint to resume from. A run that exists is neither overwritten nor resumed unasked."""
    last = Path(out) / LAST
    if resume:
        if not last.exists():  # a file, or the folder that DeepSpeed writes
            raise CheckpointError(f"--resume: {last} is not there; this run has saved no checkpoint yet")
        return str(last)
    if last.exists():
        raise ConfigError(f"{out} holds a run already; go on with it (--resume), or name another --out")
    return None


@contextmanager
def resumable(out: str | Path) -> Iterator[None]:
    """Mark an interruption of a training whose folder has a checkpoint, so that the command that goes on is printed."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not (Path(out) / LAST).exists():
            raise
        number = stop.signal if isinstance(stop, Interrupted) else None
        raise Interrupted(str(stop) or "stopped", number, resumable=True) from None
