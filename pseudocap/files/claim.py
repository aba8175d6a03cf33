"""Claim a folder behind an address for one run: object stores have no locks, so a run renews its claim.

`claim.json` changes with every renewal. A run that finds one polls it for longer than a renewal takes: if it changes,
its run is alive; if not, the run was killed and the claim is taken over. No clocks are compared. Two runs that claim in
the same moment are distinguished by reading the claim back; one that passes nevertheless wastes work and harms nothing,
because every file is put complete and both would put the same bytes.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pseudocap.errors import DataError, PseudocapError, first_line
from pseudocap.files.lock import busy, holder
from pseudocap.files.remote import RemotePath

CLAIM = "claim.json"
RENEWAL, PATIENCE = 10.0, 25.0  # seconds


@contextmanager
def claimed(folder: RemotePath, doing: str) -> Iterator[None]:
    """Claim the folder until the block ends; refuse if another run is alive there."""
    address, mine = folder / CLAIM, {"claim": uuid.uuid4().hex, **holder(doing)}
    before = _read(address)
    if before and _changes(address, before):
        raise busy(folder, before)
    try:
        _claim(address, mine, 0)
    except OSError as error:
        raise DataError(f"--out {folder} cannot be written: {first_line(error)}") from error
    time.sleep(min(1.0, RENEWAL / 5))  # one that claimed in the same moment has written by now
    now = _read(address)
    if mine["claim"].encode() not in now:
        raise busy(folder, now)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(address, mine, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(PseudocapError, OSError):
            if mine["claim"].encode() in _read(address):
                address.unlink(missing_ok=True)


def _claim(address: RemotePath, mine: Mapping[str, Any], count: int) -> None:
    address.put(json.dumps({**mine, "renewed": count}, sort_keys=True).encode())


def _renew(address: RemotePath, mine: Mapping[str, Any], done: threading.Event) -> None:
    count = 0
    while not done.wait(RENEWAL):
        count += 1
        with suppress(PseudocapError, OSError):  # a renewal that is missed is made good by the next
            _claim(address, mine, count)


def _read(address: RemotePath) -> bytes:
    try:
        return address.read_bytes() if address.exists() else b""
    except FileNotFoundError:
        return b""


def _changes(address: RemotePath, before: bytes) -> bool:
    """Return whether someone renews the claim while it is polled; a claim that is removed is no longer one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        time.sleep(RENEWAL / 10)
        now = _read(address)
        if now != before:
            return bool(now)
    return False
