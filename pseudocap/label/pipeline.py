"""A labelling run: plan -> frames -> batches across files -> teacher -> filters -> one file of rows per shard.

What a shard's file holds is a function of its sources, the teacher and the settings alone: clips are batched in their
order, a shard begins with a new batch, a batch that is not full is filled up with its last view, and sampling noise
depends on the clip. So neither workers, nor interruptions, nor the order in which shards were done leave a trace.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pseudocap.errors import ConfigError, DataError
from pseudocap.label.engines import Engine, Errand, LocalEngine, ShardEnd
from pseudocap.label.run_folder import (
    STATS,
    Plan,
    alone_in,
    is_finished,
    read_plan,
    require_same,
    write_json,
    write_plan,
)
from pseudocap.label.schema import read_rows, shard_path, write_labels
from pseudocap.label.shard import Kept, LabelSpec, Shard
from pseudocap.label.sources import Sources, extend, media_of
from pseudocap.label.stats import statistics
from pseudocap.label.teachers import Teacher, as_settings
from pseudocap.types import Pseudolabel

FEW = 20  # clips before a share of failures means anything


@dataclass(frozen=True, kw_only=True, slots=True)
class Relabel:
    """Label again what an earlier run is unsure of: clips whose confidence is below `below`, or that failed."""

    earlier: Path
    below: float

    def keeps(self, label: Pseudolabel) -> bool:
        return not label.failed and label.confidence is not None and label.confidence >= self.below


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is: videos, of how many, clips, and seconds of video."""

    videos: int
    of: int
    clips: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """What a run did (`clips`, `failed`, `video_seconds`, `seconds`), and what the folder holds now (`stats`)."""

    clips: int
    failed: int
    video_seconds: float
    seconds: float
    stats: Mapping[str, object]


@dataclass(kw_only=True)
class _Tally:
    videos: int = 0
    clips: int = 0
    failed: int = 0
    seconds: float = 0.0

    def add(self, shard: Shard) -> None:
        self.clips += shard.fresh
        self.failed += shard.failed
        self.seconds += shard.seconds


def label(
    sources: Sources,
    teacher: Teacher,
    out: Path,
    spec: LabelSpec,
    *,
    engine: Engine | None = None,
    retry_failed: bool = False,
    relabel: Relabel | None = None,
    max_failure_rate: float = 0.1,
    progress: Callable[[Progress], None] | None = None,
) -> Labelled:
    """Label what is not yet labelled in `out`, shard by shard; what is finished stays, also where this ends early."""
    started = time.monotonic()
    if not 0 <= max_failure_rate <= 1:
        raise ConfigError(f"max_failure_rate is {max_failure_rate:g} and is a share: 0 to 1")
    with alone_in(out) as scratch:
        run = _Run(teacher=teacher, out=out, spec=spec, relabel=relabel, scratch=scratch)
        run.plan(sources)
        tally = run.label(engine or LocalEngine(0), retry_failed, max_failure_rate, progress)
        stats = statistics(out)
        write_json(out / STATS, stats)
    return Labelled(
        clips=tally.clips,
        failed=tally.failed,
        video_seconds=tally.seconds,
        seconds=time.monotonic() - started,
        stats=stats,
    )


@dataclass(kw_only=True)
class _Run:
    teacher: Teacher
    out: Path
    spec: LabelSpec
    relabel: Relabel | None
    scratch: Path
    sources: Sources = field(default_factory=lambda: Sources(root="", shards=()))
    settings: str = ""
    _kept: dict[int, dict[str, Kept]] = field(default_factory=dict)

    def plan(self, found: Sources) -> None:
        """Go on with the folder's plan, or make one; what is new among the sources gets shards of its own."""
        spec = self.spec
        settings: dict[str, object] = {
            "teacher": self.teacher.name,
            "revision": self.teacher.revision,
            "seed": spec.seed,
            "batch_size": spec.batch_size,
            "shard_size": spec.shard_size,
            **{f"teacher.{name}": value for name, value in self.teacher.settings.items()},
            **{f"frames.{name}": value for name, value in asdict(spec.framing).items()},
            **{f"filters.{name}": value for name, value in asdict(spec.filters).items()},
        }
        if self.relabel is not None:
            settings |= {"relabel": str(self.relabel.earlier.resolve()), "below": self.relabel.below}
        now = Plan(sources=found, settings=settings)
        before = read_plan(self.out)
        if before is not None:
            require_same(self.out, before, now)
            now = Plan(sources=extend(before.sources, found, shard_size=spec.shard_size), settings=settings)
        if before is None or now.sources != before.sources:
            write_plan(self.out, now)
        self.sources = now.sources
        self.settings = as_settings(
            self.teacher.settings,
            {f"frames.{name}": value for name, value in asdict(spec.framing).items()},
            {"batch_size": spec.batch_size},
        )

    def label(
        self,
        engine: Engine,
        retry_failed: bool,
        max_failure_rate: float,
        progress: Callable[[Progress], None] | None,
    ) -> _Tally:
        todo = [number for number in range(len(self.sources.shards)) if self._is_wanted(number, retry_failed)]
        if todo:
            (self.out / STATS).unlink(missing_ok=True)
        tally = _Tally()
        of = sum(len(self.sources.shards[number]) for number in todo)
        shard = Shard(teacher=self.teacher, spec=self.spec, settings=self.settings)
        for sight in engine.watch(self._errands(todo), self.spec.framing, self.scratch):
            if isinstance(sight, ShardEnd):
                labels = shard.finish(self._kept.pop(sight.number))
                write_labels(shard_path(self.out, sight.number), labels, root=self.sources.root)
                shutil.rmtree(self._fetched(sight.number), ignore_errors=True)
                tally.add(shard)
                self._check_failures(tally, max_failure_rate, labels)
                shard = Shard(teacher=self.teacher, spec=self.spec, settings=self.settings)
                continue
            shard.take(sight)
            tally.videos += sight.ends
            if progress is not None:
                clips, seconds = tally.clips + shard.fresh, tally.seconds + shard.seconds
                progress(Progress(videos=tally.videos, of=max(of, tally.videos), clips=clips, seconds=seconds))
        return tally

    def _errands(self, todo: Sequence[int]) -> Iterator[Errand | ShardEnd]:
        """Every video of the shards, and a mark after each shard. Runs ahead of the shard that is being labelled."""
        for number in todo:
            self._kept[number] = kept = self._labels_to_keep(number)
            fetched = self._fetched(number)
            fetched.mkdir()
            for media in media_of(self.sources.shards[number], self.sources.root, scratch=fetched):
                mine = kept.get(media.name)
                if mine is None:
                    yield Errand(media=media)
                else:
                    known = frozenset((label.clip.start, label.clip.end) for label in mine.labels)
                    yield Errand(media=media, known=known, skip=mine.whole)
            yield ShardEnd(number=number)

    def _fetched(self, number: int) -> Path:
        return self.scratch / str(number)

    def _labels_to_keep(self, number: int) -> dict[str, Kept]:
        """What of a shard is labelled already and need not be again, by source."""
        own = shard_path(self.out, number)
        if own.exists():  # then its failed rows are to be tried again
            rows = [(label, not label.failed) for label in read_rows(own)]
        elif self.relabel is not None:
            rows = [(label, self.relabel.keeps(label)) for label in read_rows(shard_path(self.relabel.earlier, number))]
        else:
            return {}
        kept: dict[str, Kept] = {}
        for label, keep in rows:
            mine = kept.setdefault(label.clip.source, Kept())
            if keep:
                mine.labels.append(label)
            else:
                mine.whole = False
        return kept

    def _is_wanted(self, number: int, retry_failed: bool) -> bool:
        if not is_finished(self.out, number):
            return True
        return retry_failed and any(label.failed for label in read_rows(shard_path(self.out, number)))

    def _check_failures(self, tally: _Tally, most: float, labels: Sequence[Pseudolabel]) -> None:
        if tally.failed > most * max(tally.clips, FEW):
            last = [label for label in labels if label.failed]
            example = f"; the last: {last[-1].clip.source}: {last[-1].error}" if last else ""
            raise DataError(
                f"{tally.failed} of {tally.clips} clips failed, more than a share of {most:g} (--max-failure-rate)"
                f"{example}; finished shards are kept in {self.out}: mend the cause, and run again to go on"
            )
