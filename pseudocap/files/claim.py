"""Who labels into an address: object stores have no locks, so a run claims the place and renews its claim.

`claim.json` changes with every renewal. Who finds one watches it for longer than a renewal takes: if it changes, its
run is alive; if not, the run was killed and the claim is taken over. No clocks are compared. Two runs that claim in the
same moment are told apart by reading the claim back; one that slips through nevertheless wastes work and harms nothing,
because every file is put whole and both would put the same bytes.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pseudocap.errors import DataError, PseudocapError, first_line
from pseudocap.files.remote import RemotePath

CLAIM = "claim.json"
RENEWAL, PATIENCE = 10.0, 25.0  # seconds


@contextmanager
def claimed(folder: RemotePath) -> Iterator[None]:
    """Refuses if another run is alive there; claims the place until the block ends."""
    place, mine = folder / CLAIM, uuid.uuid4().hex
    before = _read(place)
    if before and _changes(place, before):
        raise _busy(folder, before)
    try:
        _claim(place, mine, 0)
    except OSError as error:
        raise DataError(f"--out {folder} cannot be written: {first_line(error)}") from error
    time.sleep(min(1.0, RENEWAL / 5))  # one that claimed in the same moment has written by now
    now = _read(place)
    if mine.encode() not in now:
        raise _busy(folder, now)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(place, mine, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(PseudocapError, OSError):
            if mine.encode() in _read(place):
                place.unlink(missing_ok=True)


def _claim(place: RemotePath, mine: str, count: int) -> None:
    document = {"claim": mine, "host": socket.gethostname(), "process": os.getpid(), "renewed": count}
    place.put(json.dumps(document, sort_keys=True).encode())


def _renew(place: RemotePath, mine: str, done: threading.Event) -> None:
    count = 0
    while not done.wait(RENEWAL):
        count += 1
        with suppress(PseudocapError, OSError):  # a renewal that is missed is made good by the next
            _claim(place, mine, count)


def _read(place: RemotePath) -> bytes:
    try:
        return place.read_bytes() if place.exists() else b""
    except FileNotFoundError:
        return b""


def _changes(place: RemotePath, before: bytes) -> bool:
    """Whether someone renews the claim while we watch; a claim that is given back is no longer one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        time.sleep(RENEWAL / 10)
        now = _read(place)
        if now != before:
            return bool(now)
    return False


def _busy(folder: RemotePath, claim: bytes) -> DataError:
    try:
        document = json.loads(claim)
        who = f" (process {document['process']} on {document['host']})"
    except (ValueError, KeyError, TypeError):
        who = ""
    return DataError(f"another run{who} is labelling into {folder}; wait for it, or choose another --out")
