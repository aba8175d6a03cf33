"""Hold captions from elsewhere that vote with a teacher's: those that mining found for a moment of the same clip.

PseudoCap-Vid names retrieval-augmented labels as future work. Under `--frames consensus` the captions of a clip, one of
each frame, elect the one that agrees most with the others (consensus.py); mined captions of moments in it join them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike

from pseudocap.errors import DataError
from pseudocap.files.remote import any_path
from pseudocap.label.run_folder import require_plan
from pseudocap.label.schema import label_files, read_root, read_rows
from pseudocap.types import Clip


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Hold a caption for a moment of a video, with its similarity."""

    time: float
    similarity: float
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MinedCandidates:
    """Hold the candidates of each source, the likest first; `run` names where they come from."""

    run: str
    of: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)

    def within(self, clip: Clip, count: int) -> list[str]:
        """Return the captions of moments of a clip, each once, at most so many."""
        here = (each.caption for each in self.of.get(clip.source, ()) if clip.start <= each.time < clip.end)
        return list(dict.fromkeys(here))[:count]


def read_candidates(labels: str | PathLike[str], *, root: str) -> MinedCandidates:
    """Read the rows of a mining run that no filter objects to; DataError where they are of other videos than `root`."""
    plan = require_plan(any_path(labels))
    found: dict[str, list[Candidate]] = {}
    for path in label_files(labels):
        if (theirs := read_root(path)) != root:
            raise DataError(f"--candidates {labels} are of the videos in {theirs}, not of those in {root}")
        for row in (row for row in read_rows(path) if row.kept and row.frame_times):
            similarity, time = row.confidence or 0.0, row.frame_times[0]
            some = found.setdefault(row.clip.source, [])
            some += [Candidate(time=time, similarity=similarity, caption=caption) for caption in row.captions]
    ordered = {name: tuple(sorted(some, key=lambda each: -each.similarity)) for name, some in found.items()}
    return MinedCandidates(run=plan.run, of=ordered)
