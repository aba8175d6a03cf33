"""Measure how far two runs over the same videos agree: with another batch size, another machine, another teacher.

Captions depend on the batch size only by rounding: kernels of another shape add in another order, and where two tokens
are equally good, to the last bit of their noise, another one is written. Comparing two runs shows how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from pseudocap.errors import DataError
from pseudocap.files.remote import AnyPath, any_path
from pseudocap.label.run_folder import read_plan, require_plan
from pseudocap.label.schema import finished_shards, read_rows, shard_path
from pseudocap.label.sources import Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Count clips that both runs captioned, and of how many the best captions differ; `only_one` has the others."""

    clips: int
    differing: int
    only_one: int

    @property
    def share(self) -> float:
        return self.differing / self.clips if self.clips else 0.0


def compare_labels(one: str | PathLike[str], other: str | PathLike[str]) -> Comparison:
    """Compare two runs clip by clip, a shard in memory at a time."""
    here, there = any_path(one), any_path(other)
    if require_plan(here).sources.shards != require_plan(there).sources.shards:
        raise DataError(
            f"{one} and {other} hold labels of other videos, or in other shards; compare runs over the same SOURCE "
            "with the same --shard-size"
        )
    clips = differing = only_one = 0
    for number in finished_shards(here) | finished_shards(there):
        mine, theirs = _captions(here, number), _captions(there, number)
        both = mine.keys() & theirs.keys()
        clips += len(both)
        differing += sum(mine[clip] != theirs[clip] for clip in both)
        only_one += len(mine.keys() ^ theirs.keys())
    return Comparison(clips=clips, differing=differing, only_one=only_one)


def refuse_other_shards(sources: Sources, one: str | PathLike[str], other: str | PathLike[str]) -> None:
    """Check, before hours of labelling, that `one`, which would be new, can be compared with `other` at all."""
    there = require_plan(any_path(other))
    if read_plan(any_path(one)) is None and there.sources.shards != sources.shards:
        size = there.settings.get("shard_size")
        raise DataError(
            f"{other} holds labels of other videos, or in other shards (--shard-size {size}); compare runs over the "
            "same SOURCE with the same --shard-size"
        )


def _captions(folder: AnyPath, number: int) -> dict[tuple[str, float, float], str]:
    path = shard_path(folder, number)
    if not path.exists():
        return {}
    rows = (label for label in read_rows(path) if not label.failed)
    return {(label.clip.source, label.clip.start, label.clip.end): label.caption for label in rows}
