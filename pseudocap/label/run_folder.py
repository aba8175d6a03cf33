"""Hold the folder of a labelling run: plan and settings, finished shards, statistics, and the lock of who works there.

plan.json         which sources belong to which shard, and every setting; written first
000000.parquet    a finished shard; its rename is what ends it
stats.json        what the labels are like; written last, so a folder without it is unfinished
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError, first_line
from pseudocap.files.claim import claimed
from pseudocap.files.lock import locked
from pseudocap.files.remote import AnyPath, RemotePath, write_atomic
from pseudocap.label.sources import Sources

FORMAT = 1
PLAN, STATS = "plan.json", "stats.json"
SCRATCH = ".fetched"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Plan a run: its sources, and the settings that every row is a function of. `earlier` is the folder of
    the run whose labels are carried over, where there is one."""

    sources: Sources
    settings: Mapping[str, Any]
    earlier: str = ""

    @property
    def run(self) -> str:
        """Return the run's name, which is in its rows: the same for the same settings, wherever the folder lies."""
        text = json.dumps(dict(self.settings), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_plan(folder: AnyPath) -> Plan | None:
    """Return the plan of a run, None where none has begun."""
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise DataError(
                f"{path} has format {document['format']}, and this pseudocap writes {FORMAT}; choose another --out"
            )
        shards = tuple(tuple(map(str, shard)) for shard in document["shards"])
        return Plan(
            sources=Sources(root=document["root"], shards=shards),
            settings=document["settings"],
            earlier=document.get("earlier", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({first_line(error)}); choose another --out") from error


def has_plan(folder: Path) -> bool:
    """Return whether a run has begun in a folder; a plan.json of captions, of a film of that name, is none."""
    path = folder / PLAN
    return path.is_file() and b'"shards"' in path.read_bytes()


def require_plan(folder: AnyPath) -> Plan:
    """Return the plan of a run; DataError where none has begun."""
    plan = read_plan(folder)
    if plan is None:
        raise DataError(f"{folder} holds no labelling run (plan.json); name the --out of one")
    return plan


def settle(out: AnyPath, now: Plan, extended: Callable[[Sources, Sources], Sources], *, what: str = "labels") -> Plan:
    """Continue the folder's plan, or make one. `extended` gives the earlier sources with what is new among these;
    `what` the folder holds is for the refusal of other settings."""
    before = read_plan(out)
    if before is not None:
        require_same_plan(out, before, now, what=what)
        now = replace(now, sources=extended(before.sources, now.sources))
    if before is None or now.sources != before.sources:
        document = {"format": FORMAT, "run": now.run, "earlier": now.earlier, "settings": dict(now.settings)}
        write_json(out / PLAN, {**document, "root": now.sources.root, "shards": now.sources.shards})
    return now


def require_same_plan(folder: AnyPath, before: Plan, now: Plan, *, what: str = "labels") -> None:
    """Require that a folder holds the labels of one teacher with one set of settings."""
    if before.sources.root != now.sources.root:
        raise DataError(
            f"{folder} holds {what} of {before.sources.root or 'a list'}, not of {now.sources.root or 'a list'}; "
            "choose another --out"
        )
    for name in sorted(before.settings.keys() | now.settings.keys()):
        old, new = before.settings.get(name), json.loads(json.dumps(now.settings.get(name)))
        if old != new:
            raise DataError(
                f"{folder} holds {what} with {name} {old!r}, and this run has {new!r}; choose another --out, "
                "or the same settings to go on"
            )


def write_json(path: AnyPath, document: Mapping[str, Any]) -> None:
    """Write JSON, all of it or nothing."""
    write_atomic(path, json.dumps(document, indent=1, sort_keys=True).encode())


@contextmanager
def alone_in(folder: AnyPath, doing: str) -> Iterator[Path]:
    """Lock this folder against other runs; give a folder of this machine for what must be fetched."""
    if isinstance(folder, RemotePath):
        with claimed(folder, doing), tempfile.TemporaryDirectory(prefix="pseudocap-") as scratch:
            yield Path(scratch)
        return
    with locked(folder, doing):
        here = folder / SCRATCH
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        try:
            yield here
        finally:
            shutil.rmtree(here, ignore_errors=True)
