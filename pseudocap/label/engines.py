"""Where labelling happens. Here: the teacher in this process, decoding in worker processes; on_ray.py is the other.

Videos become watched clips in a fixed order and with a bounded number of frames under way. Of a decoder that crashes
only the video is given up (workers.py).
"""

from __future__ import annotations

import itertools
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pseudocap.label.framing import Framing, Planned, Watched, pieces, plan_video, watch_planned
from pseudocap.label.shard import LabelRecipe, Shard
from pseudocap.label.sources import Media
from pseudocap.label.teachers.base import Teacher
from pseudocap.label.work import Done, Errand, ShardEnd, Step, WatchedClips, Work
from pseudocap.types import Clip
from pseudocap.workers import CrashError, Job, Pool

CRASHED = "the decoder crashed on it, twice; convert the file, or leave it out"


class Engine(Protocol):
    """Where a run is done: gives its shards as they are finished, in whatever order, and a `Step` now and then."""

    def label(
        self, works: Iterable[Work], teacher: Teacher, recipe: LabelRecipe, scratch: Path
    ) -> Iterator[Done | Step]: ...


class LocalEngine:
    """Processes of this machine; with 0 workers everything is done in this one, by threads that decode."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def label(
        self, works: Iterable[Work], teacher: Teacher, recipe: LabelRecipe, scratch: Path
    ) -> Iterator[Done | Step]:
        begun: dict[int, Shard] = {}  # decoding runs ahead of the teacher, also into the next shards

        def errands() -> Iterator[Errand | ShardEnd]:
            for work in works:
                (scratch / str(work.number)).mkdir()
                kept = work.kept()
                begun[work.number] = Shard(number=work.number, teacher=teacher, recipe=recipe, kept=kept)
                yield from work.errands(kept, scratch / str(work.number))
                yield ShardEnd(number=work.number)

        for sight in self.watch(errands(), recipe.spec.framing, scratch):
            shard = next(iter(begun.values()))
            if isinstance(sight, ShardEnd):
                shutil.rmtree(scratch / str(sight.number), ignore_errors=True)
                yield begun.pop(sight.number).finish()
            else:
                shard.take(sight)
                done = [watched.clip for watched in sight.watched if not watched.problem]
                seconds = sum(clip.end - clip.start for clip in done)
                yield Step(videos=sight.ends, clips=len(sight.watched), seconds=seconds)

    def watch(
        self, errands: Iterable[Errand | ShardEnd], framing: Framing, scratch: Path
    ) -> Iterator[WatchedClips | ShardEnd]:
        with Pool(self._workers) as pool:
            yield from _Watching(pool=pool, framing=framing, scratch=scratch).all(iter(errands))


@dataclass(kw_only=True, slots=True)
class _Step:
    """What comes next, in order: something known already, or what a job gives. `copy` is removed when it is reached."""

    known: WatchedClips | ShardEnd | None = None
    media: Media | None = None
    job: Job | None = None
    copy: str = ""


@dataclass(kw_only=True)
class _Watching:
    """Videos are planned a little ahead of the frames, and frames are decoded a little ahead of their use."""

    pool: Pool
    framing: Framing
    scratch: Path
    plans: deque[tuple[Errand | ShardEnd, Job | None]] = field(default_factory=deque)
    steps: deque[_Step] = field(default_factory=deque)

    def all(self, errands: Iterator[Errand | ShardEnd]) -> Iterator[WatchedClips | ShardEnd]:
        ahead = 2 * self.pool.size + 2
        while True:
            while len(self.plans) < ahead and (errand := next(errands, None)) is not None:
                self.plans.append((errand, self._plan(errand)))
            while self.plans and len(self.steps) < ahead:
                self._line_up(*self.plans.popleft())
            if not self.steps:
                return
            for step in itertools.islice(self.steps, ahead):  # of a long film only the next pieces are under way
                if step.job is not None:
                    self.pool.submit(step.job)
            yield self._finish(self.steps.popleft())

    def _plan(self, errand: Errand | ShardEnd) -> Job | None:
        if isinstance(errand, ShardEnd) or errand.skip or errand.media.problem:
            return None
        job = Job((plan_video, errand.media, self.framing, self.scratch))
        self.pool.submit(job)
        return job

    def _line_up(self, errand: Errand | ShardEnd, job: Job | None) -> None:
        """The pieces of a video whose plan is known, and what is missing of it."""
        if isinstance(errand, ShardEnd):
            self.steps.append(_Step(known=errand))
            return
        media = errand.media
        if errand.skip:
            self.steps.append(_Step(known=WatchedClips(media=media, ends=True)))
            return
        planned = self._planned(media, job)
        wanted = tuple(clip for clip in planned.clips if (clip.start, clip.end) not in errand.known)
        unseen = () if self.framing.frames else tuple(Watched(clip=clip) for clip in wanted)
        clips = None if planned.problem else planned.clips
        self.steps.append(_Step(known=WatchedClips(media=media, watched=unseen, clips=clips)))
        for part in pieces(media, wanted, self.framing) if self.framing.frames else ():
            self.steps.append(_Step(media=media, job=Job((watch_planned, planned.path, part, planned.framing))))
        copy = "" if media.is_local else planned.path
        self.steps.append(_Step(known=WatchedClips(media=media, watched=_lost(media, planned), ends=True), copy=copy))

    def _planned(self, media: Media, job: Job | None) -> Planned:
        if job is None:
            return Planned(problem=media.problem)
        try:
            planned: Planned = self.pool.result(job)
        except CrashError:
            return Planned(problem=CRASHED)
        return planned

    def _finish(self, step: _Step) -> WatchedClips | ShardEnd:
        if step.copy:
            Path(step.copy).unlink(missing_ok=True)
        if step.known is not None:
            return step.known
        assert step.media is not None, "a step has either what is known or a job for a video"
        assert step.job is not None, "a step has either what is known or a job for a video"
        try:
            watched = tuple(self.pool.result(step.job))
        except CrashError:
            watched = tuple(Watched(clip=clip, problem=CRASHED) for clip in step.job.arguments[2])
        return WatchedClips(media=step.media, watched=watched)


def _lost(media: Media, planned: Planned) -> tuple[Watched, ...]:
    """What a video cannot give: all of it, or its end."""
    if planned.problem:
        return (Watched(clip=Clip(source=media.name, start=0.0, end=0.0), problem=planned.problem),)
    if planned.gap is not None:
        return (Watched(clip=planned.gap[0], problem=planned.gap[1]),)
    return ()
