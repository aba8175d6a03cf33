"""Label on this machine: the teacher in this process, decoding in worker processes; on_ray.py is the other engine.

Videos become decoded clips in a fixed order and with a bounded number of frames under way. Of a decoder that crashes
only the video is given up (workers.py).
"""

from __future__ import annotations

import itertools
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from pseudocap.label.framing import DecodedClip, Framing, Planned, decode_planned, pieces, plan_video
from pseudocap.label.shard import LabelRecipe, Shard
from pseudocap.label.sources import Media
from pseudocap.label.teachers.base import Teacher
from pseudocap.label.work import DecodedClips, Done, ShardEnd, Step, VideoTask, Work
from pseudocap.types import Clip
from pseudocap.workers import CrashError, Job, Pool

CRASHED = "the decoder crashed on it, twice; convert the file, or leave it out"


class Engine(Protocol):
    """Label shards: give them as they are finished, in whatever order, and a `Step` now and then."""

    def label(
        self, works: Iterable[Work], teacher: Teacher, recipe: LabelRecipe, scratch: Path
    ) -> Generator[Done | Step]: ...


class LocalEngine:
    """Label in processes of this machine; with 0 workers everything is done in this one, by threads that decode."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def label(
        self, works: Iterable[Work], teacher: Teacher, recipe: LabelRecipe, scratch: Path
    ) -> Generator[Done | Step]:
        begun: dict[int, Shard] = {}  # decoding runs ahead of the teacher, also into the next shards

        def tasks() -> Iterator[VideoTask | ShardEnd]:
            for work in works:
                (scratch / str(work.number)).mkdir()
                kept = work.kept()
                begun[work.number] = Shard(number=work.number, teacher=teacher, recipe=recipe, kept=kept)
                yield from work.tasks(kept, scratch / str(work.number))
                yield ShardEnd(number=work.number)

        for part in self.decode(tasks(), recipe.spec.framing, scratch):
            shard = next(iter(begun.values()))
            if isinstance(part, ShardEnd):
                shutil.rmtree(scratch / str(part.number), ignore_errors=True)
                yield begun.pop(part.number).finish()
            else:
                shard.take(part)
                done = [decoded.clip for decoded in part.decoded if not decoded.problem]
                seconds = sum(clip.end - clip.start for clip in done)
                yield Step(videos=part.ends, clips=len(part.decoded), seconds=seconds)

    def decode(
        self, tasks: Iterable[VideoTask | ShardEnd], framing: Framing, scratch: Path
    ) -> Iterator[DecodedClips | ShardEnd]:
        with Pool(self._workers) as pool:
            yield from _Decoding(pool=pool, framing=framing, scratch=scratch).all(iter(tasks))


@dataclass(kw_only=True)
class _Decoding:
    """Plan videos a little ahead of the frames, and decode frames a little ahead of their use."""

    pool: Pool
    framing: Framing
    scratch: Path
    plans: deque[tuple[VideoTask | ShardEnd, Job | None]] = field(default_factory=deque)
    # What comes next: the job that must be done before, if any, and what gives it.
    steps: deque[tuple[Job | None, Callable[[], DecodedClips | ShardEnd]]] = field(default_factory=deque)

    def all(self, tasks: Iterator[VideoTask | ShardEnd]) -> Iterator[DecodedClips | ShardEnd]:
        ahead = 2 * self.pool.size + 2
        while True:
            while len(self.plans) < ahead and (task := next(tasks, None)) is not None:
                self.plans.append((task, self._plan(task)))
            while self.plans and len(self.steps) < ahead:
                self._line_up(*self.plans.popleft())
            if not self.steps:
                return
            for job, _ in itertools.islice(self.steps, ahead):  # of a long film only the next pieces are under way
                if job is not None:
                    self.pool.submit(job)
            yield self.steps.popleft()[1]()

    def _plan(self, task: VideoTask | ShardEnd) -> Job | None:
        if isinstance(task, ShardEnd) or task.skip or task.media.problem:
            return None
        job = Job((plan_video, task.media, self.framing, self.scratch))
        self.pool.submit(job)
        return job

    def _line_up(self, task: VideoTask | ShardEnd, job: Job | None) -> None:
        """Queue the pieces of a video whose plan is known, and what is missing of it."""
        if isinstance(task, ShardEnd):
            self.steps.append((None, lambda: task))
            return
        media = task.media
        if task.skip:
            self.steps.append((None, lambda: DecodedClips(media=media, ends=True)))
            return
        planned = Planned(problem=media.problem)
        if job is not None:
            try:
                planned = self.pool.result(job)
            except CrashError:
                planned = Planned(problem=CRASHED)
        wanted = tuple(clip for clip in planned.clips if (clip.start, clip.end) not in task.known)
        undecoded = () if self.framing.frames else tuple(DecodedClip(clip=clip) for clip in wanted)
        clips = None if planned.problem else planned.clips
        self.steps.append((None, lambda: DecodedClips(media=media, decoded=undecoded, clips=clips)))
        for part in pieces(media, wanted, self.framing) if self.framing.frames else ():
            decoding = Job((decode_planned, planned.path, part, planned.framing))
            self.steps.append((decoding, partial(self._decoded, media, decoding)))
        self.steps.append((None, partial(_end, media, planned)))

    def _decoded(self, media: Media, job: Job) -> DecodedClips:
        try:
            decoded = tuple(self.pool.result(job))
        except CrashError:
            decoded = tuple(DecodedClip(clip=clip, problem=CRASHED) for clip in job.arguments[2])
        return DecodedClips(media=media, decoded=decoded)


def _end(media: Media, planned: Planned) -> DecodedClips:
    """Remove the copy of a video, and report what the video cannot give: all of it, or its end."""
    if planned.path and not media.is_local:
        Path(planned.path).unlink(missing_ok=True)
    lost: tuple[DecodedClip, ...] = ()
    if planned.problem:
        lost = (DecodedClip(clip=Clip(source=media.name, start=0.0, end=0.0), problem=planned.problem),)
    elif planned.gap is not None:
        lost = (DecodedClip(clip=planned.gap[0], problem=planned.gap[1]),)
    return DecodedClips(media=media, decoded=lost, ends=True)
