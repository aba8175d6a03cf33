"""Run labelling: plan -> frames -> batches across files -> teacher -> filters -> one file of rows per shard.

What a shard's file holds is a function of its sources, the teacher and the settings alone: clips are batched in their
order, a shard begins with a new batch, a batch that is not full is filled up with its last view, and sampling noise
depends on the clip. So neither workers, nor interruptions, nor the order in which shards were done leave a trace.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike

from pseudocap.errors import DataError
from pseudocap.files.remote import AnyPath, any_path
from pseudocap.label.engines import Engine, LocalEngine
from pseudocap.label.rewrite import Earlier
from pseudocap.label.run_folder import STATS, Plan, alone_in, settle, write_json
from pseudocap.label.schema import finished_shards, read_rows, shard_path, write_labels
from pseudocap.label.shard import LabelRecipe, LabelSpec
from pseudocap.label.sources import Sources, extend
from pseudocap.label.stats import statistics
from pseudocap.label.teachers.base import Teacher, as_settings
from pseudocap.label.work import Done, Step, Work
from pseudocap.tolerance import FEW, Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class Relabel:
    """Label again what an earlier run is unsure of: clips whose confidence is below `below`, or that failed."""

    earlier: str | PathLike[str]
    below: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Report what a run did (`clips`, `failed`, `video_seconds`, `seconds`), and what its folder holds (`stats`)."""

    clips: int
    failed: int
    video_seconds: float
    seconds: float
    stats: Mapping[str, object]


def label(
    sources: Sources,
    teacher: Teacher,
    out: str | PathLike[str],
    spec: LabelSpec,
    *,
    engine: Engine | None = None,
    retry_failed: bool = False,
    relabel: Relabel | None = None,
    max_failure_rate: float = 0.1,
    progress: Callable[[Step, int], None] | None = None,
) -> Labelled:
    """Label what is not yet labelled in `out`, a folder or an address, shard by shard; what is finished stays, also
    where this ends early. `progress` gets what has been done since the beginning, and the number of all videos."""
    started = time.monotonic()
    tolerance = Tolerance(max_failure_rate, least=FEW, option="--max-failure-rate")
    folder = any_path(out)
    earlier = None if relabel is None else Earlier.of(relabel.earlier)
    extended = partial(extend, shard_size=spec.shard_size) if earlier is None else earlier.follow
    with alone_in(folder, "labelling") as scratch, contextlib.ExitStack() as ending:
        plan = settle(folder, _planned(sources, teacher, spec, relabel, earlier), extended)
        works = _works(folder, plan, retry_failed, relabel)
        if works:
            (folder / STATS).unlink(missing_ok=True)
        recipe = LabelRecipe(
            spec=spec,
            teacher=teacher.name,
            revision=teacher.revision,
            settings=as_settings(teacher.settings, _framing(spec), {"batch_size": spec.batch_size}, _candidates(spec)),
            run=plan.run,
        )
        before = finished_shards(folder)
        clips, failed, seconds, fresh, fresh_failed = 0, 0, 0.0, 0, 0
        steps = (engine or LocalEngine(0)).label(works, teacher, recipe, scratch)
        ending.callback(steps.close)  # workers end before the lock and the scratch folder go
        for done in _shards(steps, sum(len(work.names) for work in works), progress):
            write_labels(shard_path(folder, done.number), done.labels, root=plan.sources.root)
            clips, failed, seconds = clips + done.clips, failed + done.failed, seconds + done.seconds
            if done.number not in before:  # what fails again is no news
                fresh, fresh_failed = fresh + done.clips, fresh_failed + done.failed
            if objection := tolerance.objection(fresh_failed, fresh, "clips failed"):
                last = [label for label in done.labels if label.failed]
                example = f"; the last: {last[-1].clip.source}: {last[-1].error}" if last else ""
                raise DataError(
                    f"{objection}{example}; finished shards are kept in {folder}: fix the cause, and run again to go on"
                )
        stats = statistics(folder)
        write_json(folder / STATS, stats)
    elapsed = time.monotonic() - started
    return Labelled(clips=clips, failed=failed, video_seconds=seconds, seconds=elapsed, stats=stats)


def _candidates(spec: LabelSpec) -> dict[str, object]:
    return {} if spec.candidates is None else {"candidates": spec.candidates.run}


def _framing(spec: LabelSpec) -> dict[str, object]:
    return {f"frames.{name}": value for name, value in spec.framing.recorded().items()}


def _planned(
    sources: Sources, teacher: Teacher, spec: LabelSpec, relabel: Relabel | None, earlier: Earlier | None
) -> Plan:
    settings: dict[str, object] = {
        "teacher": teacher.name,
        "revision": teacher.revision,
        "seed": spec.seed,
        "batch_size": spec.batch_size,
        "shard_size": spec.shard_size,
        **{f"teacher.{name}": value for name, value in teacher.settings.items()},
        **_framing(spec),
        **{f"filters.{name}": value for name, value in spec.filters.recorded().items()},
    }
    settings |= _candidates(spec)
    if relabel is None or earlier is None:
        return Plan(sources=sources, settings=settings)
    settings |= {"relabel": earlier.plan.run, "below": relabel.below}
    return Plan(sources=sources, settings=settings, earlier=str(relabel.earlier))


def _works(out: AnyPath, plan: Plan, retry_failed: bool, relabel: Relabel | None) -> list[Work]:
    """Return the shards that are not finished, and with `retry_failed` those with failed rows, in their order."""
    finished = finished_shards(out)
    works = []
    for number, names in enumerate(plan.sources.shards):
        if number not in finished:
            earlier = None if relabel is None else shard_path(relabel.earlier, number)
            below = None if relabel is None else relabel.below
            works.append(Work(number=number, names=names, root=plan.sources.root, earlier=earlier, below=below))
        elif retry_failed and any(label.failed for label in read_rows(shard_path(out, number))):
            works.append(Work(number=number, names=names, root=plan.sources.root, earlier=shard_path(out, number)))
    return works


def _shards(steps: Iterable[Done | Step], of: int, progress: Callable[[Step, int], None] | None) -> Iterator[Done]:
    """Yield the finished shards, and report what comes between them: videos, of how many, clips and seconds."""
    videos, clips, seconds = 0, 0, 0.0
    for step in steps:
        if isinstance(step, Done):
            yield step
        elif progress is not None:
            videos, clips, seconds = videos + step.videos, clips + step.clips, seconds + step.seconds
            progress(Step(videos=videos, clips=clips, seconds=seconds), max(of, videos))
