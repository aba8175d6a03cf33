"""Lock a folder or a file of this machine for one at a time: the lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pseudocap.errors import DataError, first_line
from pseudocap.files.atomic import remove_unfinished

LOCK = ".lock"


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made; DataError where another run has it. `doing` is what this run does
    there ("labelling"), for the others' message. What killed runs left unfinished is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+b", buffering=0)
    except OSError as error:
        raise DataError(f"--out {folder} cannot be written: {first_line(error)}") from error
    with lock:
        take_lock(lock, folder)
        lock.truncate(0)
        with suppress(OSError):  # with a full disk the others only do not learn whom they wait for
            lock.write(json.dumps(holder(doing)).encode())
        remove_unfinished(folder)
        try:
            yield
        finally:
            lock.truncate(0)


def take_lock(file: BinaryIO, of: Path) -> None:
    """Lock an open file until it is closed; DataError where another run has it, which may have written who it is."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        raise busy(of, file.read()) from None


@contextmanager
def held(file: Path) -> Iterator[BinaryIO]:
    """Wait for a file, which is made, and hold it alone, open for reading and appending: for the moment of a write.
    Threads of one process wait for each other as well."""
    with file.open("a+b", buffering=0) as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield opened


def holder(doing: str) -> dict[str, Any]:
    """Describe who has a lock or a claim, and for what."""
    return {"doing": doing, "host": socket.gethostname(), "process": os.getpid()}


def busy(folder: object, held: bytes) -> DataError:
    """Return the refusal of a second run; what the holder wrote may be missing, of an older version or incomplete."""
    who, doing = "", "working"
    try:
        document = json.loads(held)
        doing = document.get("doing", doing)
        who = f" (process {document['process']} on {document['host']})"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return DataError(f"another run{who} is {doing} into {folder}; wait for it, or choose another --out")
