"""Files that are whole or absent: written under another name, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def unfinished(path: Path, *, contested: bool = False) -> Iterator[Path]:
    """Where to write meanwhile. What lies there at the end takes the place of `path`; after an error nothing is left.

    What a killed process leaves is written over by the next one, and `label` knows its name. Where several processes
    may write the same file at once it is `contested`, and each has a name of its own.
    """
    scratch = _beside(path, contested=contested)
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def try_to_write(path: Path) -> None:
    """The system's error now, where a file could not be written there after hours. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(path, contested=True)
    scratch.touch()
    scratch.unlink()


def _beside(path: Path, *, contested: bool) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part" if contested else f".{path.name}.part")
