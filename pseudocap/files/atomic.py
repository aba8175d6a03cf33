"""Write files and folders that are complete or absent: under another name beside their own, then renamed.

What a killed process leaves is named `.NAME.part` (`.NAME.unfinished` by older versions). The next writer of the same
file writes over it; `remove_unfinished` finds the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

LEFT = (".*.part", ".*.unfinished")
IDLE = 3600.0  # seconds: nobody is still writing to a file that has not grown for so long


@contextlib.contextmanager
def unfinished(path: Path, *, contested: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield the path to write to. What is there at the end replaces `path`; after an error nothing is left.

    Where several processes may write the same file at once it is `contested`, and each has a name of its own. A
    `durable` file is on the disk before it is renamed, so that it is complete also where the power fails.
    """
    scratch = _beside(path, contested=contested)
    try:
        yield scratch
        if durable:
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        _remove(scratch)
        raise
    _remove(path.with_name(f".{path.name}.unfinished"))


@contextlib.contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which then replaces `path`; that must be absent or an empty folder."""
    with unfinished(path, contested=True) as scratch:
        _remove(scratch)  # of a process that was killed and had this one's number
        scratch.mkdir(parents=True)
        yield scratch


@contextlib.contextmanager
def unfinished_group(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Write files that belong together: renamed in this order once all are written; the last makes them count."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(unfinished(path, contested=True)) for path in reversed(paths))[::-1]


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, *, contested: bool = False, durable: bool = False) -> None:
    """Write a file completely or not at all, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path, contested=contested, durable=durable) as scratch:
        scratch.write_bytes(content)


def try_to_write(path: Path) -> None:
    """Raise the system's error now, where a file could not be written after hours. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(path, contested=True)
    scratch.touch()
    scratch.unlink()


def remove_unfinished(folder: Path, *, idle: float = 0.0) -> None:
    """Remove what killed runs left in a folder. Who does not hold its lock names how long it must have been `idle`."""
    for pattern in LEFT:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= idle:
                    _remove(path)


def _beside(path: Path, *, contested: bool) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part" if contested else f".{path.name}.part")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
