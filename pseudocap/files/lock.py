"""One run at a time in a folder of this machine: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError, first_line
from pseudocap.files.atomic import remove_unfinished

LOCK = ".lock"


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made; DataError where another run has it. `doing` is what this run does
    there ("labelling"), for the others' message. What killed runs left half written is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+b", buffering=0)
    except OSError as error:
        raise DataError(f"--out {folder} cannot be written: {first_line(error)}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise busy(folder, lock.read()) from None
        lock.truncate(0)
        with suppress(OSError):  # a full disk costs the others no more than knowing whom they wait for
            lock.write(json.dumps(holder(doing)).encode())
        remove_unfinished(folder)
        try:
            yield
        finally:
            lock.truncate(0)


def holder(doing: str) -> dict[str, Any]:
    """Who has a lock or a claim, and for what."""
    return {"doing": doing, "host": socket.gethostname(), "process": os.getpid()}


def busy(folder: object, held: bytes) -> DataError:
    """The refusal of who comes second; what the holder wrote may be missing, of an older version or half there."""
    who, doing = "", "working"
    try:
        document = json.loads(held)
        doing = document.get("doing", doing)
        who = f" (process {document['process']} on {document['host']})"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return DataError(f"another run{who} is {doing} into {folder}; wait for it, or choose another --out")
