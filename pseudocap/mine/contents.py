"""Count what a folder of mined labels holds: its clips, their hours, and how many clips each caption has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pseudocap.files.remote import AnyPath
from pseudocap.label.schema import label_files, read_rows
from pseudocap.types import Clip


@dataclass(frozen=True, kw_only=True, slots=True)
class MinedContents:
    """Hold the clips in their order, and the clips of each caption; together the pairs are `captions.total()`."""

    clips: tuple[Clip, ...]
    captions: Counter[str]

    @property
    def hours(self) -> float:
        return sum(clip.end - clip.start for clip in self.clips) / 3600


def count_contents(folder: AnyPath) -> MinedContents:
    """Count over the rows of a finished run that did not fail."""
    clips: dict[Clip, None] = {}
    captions: Counter[str] = Counter()
    for label in (label for path in label_files(folder) for label in read_rows(path) if not label.failed):
        clips[label.clip] = None
        captions.update(label.captions)
    return MinedContents(clips=tuple(clips), captions=captions)
