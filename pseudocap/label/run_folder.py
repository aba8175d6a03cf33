"""The folder of a labelling run: its plan and settings, its finished shards, its statistics, and who is at work there.

plan.json         which sources belong to which shard, and every setting; written first
000000.parquet    a finished shard; its rename is what ends it
stats.json        what the labels are like; written last, so a folder without it is unfinished
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError, first_line
from pseudocap.label.schema import shard_path
from pseudocap.label.sources import Sources

FORMAT = 1
PLAN, STATS = "plan.json", "stats.json"
SCRATCH = ".fetched"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run is to do: its sources, and the settings that every row is a function of."""

    sources: Sources
    settings: Mapping[str, Any]


def read_plan(folder: Path) -> Plan | None:
    """The plan of a run, None where none has begun."""
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
        return Plan(sources=Sources(root=document["root"], shards=shards), settings=document["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({first_line(error)}); choose another --out") from error


def write_plan(folder: Path, plan: Plan) -> None:
    document = {
        "format": FORMAT,
        "root": plan.sources.root,
        "settings": dict(plan.settings),
        "shards": plan.sources.shards,
    }
    write_json(folder / PLAN, document)


def require_same(folder: Path, before: Plan, now: Plan) -> None:
    """A folder holds the labels of one teacher with one set of settings."""
    if before.sources.root != now.sources.root:
        raise DataError(
            f"{folder} holds labels of {before.sources.root or 'a list'}, not of {now.sources.root or 'a list'}; "
            "choose another --out"
        )
    for name in sorted(before.settings.keys() | now.settings.keys()):
        old, new = before.settings.get(name), json.loads(json.dumps(now.settings.get(name)))
        if old != new:
            raise DataError(
                f"{folder} holds labels with {name} {old!r}, and this run has {new!r}; choose another --out, "
                "or the same settings to go on"
            )


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """All of it or nothing."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise DataError(f"{path} cannot be written ({first_line(error)}); make room, and run again") from error


def is_finished(folder: Path, shard: int) -> bool:
    return shard_path(folder, shard).exists()


@contextmanager
def alone_in(folder: Path) -> Iterator[Path]:
    """Nobody else labels into this folder meanwhile; gives the folder for what must be fetched. What a killed run
    left half-done is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(f"--out {folder} cannot be written: {first_line(error)}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"another run is labelling into {folder}; wait for it, or choose another --out") from None
        for half in folder.glob(".*.part"):
            half.unlink()
        scratch = folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
