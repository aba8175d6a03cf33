"""Hold the work of one shard and what is decoded on the way: values that travel between processes and machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pseudocap.files.remote import AnyPath
from pseudocap.label.framing import DecodedClip
from pseudocap.label.near_duplicates import NEAR, kind_of
from pseudocap.label.schema import identity, read_rows
from pseudocap.label.sources import Media, media_of
from pseudocap.types import Clip, Pseudolabel


@dataclass(kw_only=True, slots=True)
class Kept:
    """Hold labels of one source that stand; `complete` where nothing else is to do for it. `parents` are those of the
    labels that will replace others, by the times of their clips, and `near` what these clips look like."""

    labels: list[Pseudolabel] = field(default_factory=list)
    parents: dict[tuple[float, float], str | None] = field(default_factory=dict)
    near: dict[tuple[float, float], tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTask:
    """Name a video to decode; clips whose times are in `known` are labelled already."""

    media: Media
    known: frozenset[tuple[float, float]] = frozenset()
    skip: bool = False  # there is nothing to do: it only keeps the order


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEnd:
    """Mark the end: it stands after the last task of a shard, and after the last decoded clips of it."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedClips:
    """Hold some clips of a video; `ends` with the last of them. The first brings `clips`, all that the video has."""

    media: Media
    decoded: tuple[DecodedClip, ...] = ()
    clips: tuple[Clip, ...] | None = None
    ends: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Name a shard to be labelled. Of the labels in `earlier` those stand that did not fail and, where `below` is
    given, have at least that confidence."""

    number: int
    names: tuple[str, ...]
    root: str
    earlier: AnyPath | None = None
    below: float | None = None

    def kept(self) -> dict[str, Kept]:
        """Return what is labelled already and need not be again, by source."""
        kept: dict[str, Kept] = {}
        for label in () if self.earlier is None else read_rows(self.earlier):
            mine = kept.setdefault(label.clip.source, Kept())
            sure = self.below is None or (label.confidence is not None and label.confidence >= self.below)
            if sure and not label.failed:
                mine.labels.append(label)
            else:
                mine.complete = False
                again = self.below is None  # in the same folder, where a failed row leaves no trace
                times = label.clip.start, label.clip.end
                mine.parents[times] = label.parent if again else identity(label)
                mine.near[times] = tuple(verdict for verdict in label.verdicts if kind_of(verdict) == NEAR)
        return kept

    def tasks(self, kept: dict[str, Kept], scratch: Path) -> Iterator[VideoTask]:
        """List the shard's videos. A tar that lies elsewhere is fetched into `scratch`, which the caller removes."""
        for media in media_of(self.names, self.root, scratch=scratch):
            mine = kept.get(media.name)
            if mine is None:
                yield VideoTask(media=media)
            else:
                known = frozenset((label.clip.start, label.clip.end) for label in mine.labels)
                yield VideoTask(media=media, known=known, skip=mine.complete)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Report how far a run has come, since the last step or in all."""

    videos: int
    clips: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """Hold all labels of a shard, and how many videos, clips, failures and seconds of video were new among them."""

    number: int
    labels: tuple[Pseudolabel, ...]
    videos: int
    clips: int
    failed: int
    seconds: float
