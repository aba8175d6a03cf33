"""Make labels from labels: a stage that reads the rows of a finished run and writes those of another, shard by shard.

    rewrite("labels", "spanish", translator)

Relabelling (pipeline.py) shares its beginning: an earlier run whose shards are kept, so that shard n of the new folder
holds what became of shard n of the old one. A new row names its `parent`, the identity of the row that it was made
from; a row that stays as it is keeps its own run and parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Protocol

from pseudocap.errors import DataError
from pseudocap.files.remote import AnyPath, any_path
from pseudocap.label.run_folder import STATS, Plan, alone_in, require_plan, settle, write_json
from pseudocap.label.schema import finished_shards, identity, read_rows, shard_path, write_labels
from pseudocap.label.sources import Sources
from pseudocap.label.stats import statistics
from pseudocap.types import Progress, Pseudolabel


class Rewriter(Protocol):
    """Make rows from rows. `settings` is everything that they depend on beside the earlier rows, for plan.json."""

    @property
    def settings(self) -> Mapping[str, object]: ...

    def rewrite(self, labels: Sequence[Pseudolabel]) -> Sequence[Sequence[Pseudolabel]]:
        """Return for each label of a shard the rows that replace it: itself, changed copies, several or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """Hold a finished run whose rows are rewritten."""

    folder: AnyPath
    plan: Plan

    @classmethod
    def of(cls, folder: str | PathLike[str]) -> Earlier:
        """Read the plan of a run; DataError where there is none, or where shards are missing."""
        home = any_path(folder)
        plan = require_plan(home)
        if missing := len(plan.sources.shards) - len(finished_shards(home)):
            raise DataError(f"{folder} is not finished: {missing} shards are missing; finish it first")
        return cls(folder=home, plan=plan)

    def follow(self, before: Sources, now: Sources) -> Sources:
        """Return the sources of a resumed run: those of this one, whose shards must begin with what was planned."""
        if now.shards[: len(before.shards)] != before.shards:
            raise DataError(
                f"{self.folder} has other shards than when its labels were first taken; choose another --out"
            )
        return now


def rewrite(
    earlier: str | PathLike[str], out: str | PathLike[str], rewriter: Rewriter, *, progress: Progress | None = None
) -> Mapping[str, object]:
    """Rewrite the shards of `earlier` that are not finished in `out`; return the statistics of all rows there.

    `progress` gets the number of shards that are done, and of all that this run does.
    """
    source, folder = Earlier.of(earlier), any_path(out)
    settings = {**rewriter.settings, "rewrite": source.plan.run}
    with alone_in(folder, "rewriting"):
        plan = settle(folder, Plan(sources=source.plan.sources, settings=settings, earlier=str(earlier)), source.follow)
        wanted = sorted(set(range(len(plan.sources.shards))) - finished_shards(folder))
        if wanted:
            (folder / STATS).unlink(missing_ok=True)
        for done, number in enumerate(wanted, start=1):
            labels = tuple(read_rows(shard_path(source.folder, number)))
            made = _made(labels, rewriter.rewrite(labels), plan.run)
            write_labels(shard_path(folder, number), tuple(made), root=plan.sources.root)
            if progress is not None:
                progress(done, len(wanted))
        stats = statistics(folder)
        write_json(folder / STATS, stats)
    return stats


def _made(labels: Sequence[Pseudolabel], made: Sequence[Sequence[Pseudolabel]], run: str) -> Iterator[Pseudolabel]:
    for old, rows in zip(labels, made, strict=True):
        for new in rows:
            yield old if new == old else replace(new, run=run, parent=identity(old))
