"""Run mining: seeds are embedded, shards of videos give their best matches, these merge, and clips become labels.

    seeds/000000.npz     vectors of a thousand seeds, and which could not be decoded
    matches/000000.npz   the best matches of every seed in one shard of videos
    000000.parquet       the labels of that shard's videos, once all shards are merged; with plan.json and stats.json
                         the folder is that of a labelling run

Each file is complete or absent, and what is there is not done again, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np

from pseudocap.errors import DataError
from pseudocap.files.remote import AnyPath, any_path, names_in
from pseudocap.label.engines import LocalEngine
from pseudocap.label.run_folder import STATS, Plan, alone_in, settle, write_json
from pseudocap.label.schema import MINED, finished_shards, shard_path, write_labels
from pseudocap.label.sources import Sources, extend
from pseudocap.label.stats import statistics
from pseudocap.label.work import Work
from pseudocap.mine.contents import MinedContents, count_contents
from pseudocap.mine.features import Embedder, embed_seeds
from pseudocap.mine.films import FilmFilter
from pseudocap.mine.frame_index import FrameIndex, json_array, read_arrays, read_json_array, write_arrays
from pseudocap.mine.match import Matcher
from pseudocap.mine.matches import Matches, Merged, matches_path, merge_matches, read_matches
from pseudocap.mine.seeds import SeedPicture, Seeds
from pseudocap.mine.shard import FilmsRead, Mined, MineSpec, ShardMiner, outdated
from pseudocap.mine.spans import join_spans
from pseudocap.tolerance import FEW, Tolerance
from pseudocap.types import Clip, Pseudolabel, StageProgress
from pseudocap.workers import Pool

SEEDS_IN_FILE = 1024


class MineEngine(Protocol):
    """Mine shards: give them as they are finished, in whatever order, and a report now and then."""

    def mine(self, works: Sequence[Work], miner: ShardMiner, scratch: Path) -> Iterator[Mined | FilmsRead]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalMining:
    """Mine on this machine: the encoder and the products in this process, decoding in worker processes."""

    workers: int = 2

    def mine(self, works: Sequence[Work], miner: ShardMiner, scratch: Path) -> Iterator[Mined | FilmsRead]:
        return miner.mine(works, LocalEngine(self.workers), scratch)


@dataclass(frozen=True, kw_only=True, slots=True)
class MiningResult:
    """Report what a folder of mined labels holds: `seeds` that were used, `matches` above the threshold as pairs of a
    clip and a caption, `best` the highest similarity of all; in `failed_seeds` why some could not be used; `again`
    counts shards that were mined before, and again since videos were retried or what is known of them has changed;
    `contents` are what the other counts are of."""

    seeds: int
    failed_seeds: Mapping[str, str]
    films: int
    frames: int
    left_out: Mapping[str, int]
    clips: int
    hours: float
    captions: int
    matches: int
    best: float
    seconds: float
    stats: Mapping[str, object]
    again: int = 0
    contents: MinedContents = field(repr=False)

    def document(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {name: getattr(self, name) for name in MiningResult.__slots__ if name != "contents"}


def mine(
    sources: Sources,
    seeds: Seeds,
    embedder: Embedder,
    out: str | PathLike[str],
    spec: MineSpec,
    *,
    engine: MineEngine | None = None,
    frame_index: str | PathLike[str] | None = None,
    device: str = "cpu",
    workers: int = 2,
    retry_failed: bool = False,
    max_failure_rate: float = 0.1,
    progress: StageProgress | None = None,
) -> MiningResult:
    """Mine what is not yet mined in `out`, a folder or an address; DataError where nothing matches at all."""
    started = time.monotonic()
    tolerance = Tolerance(max_failure_rate, least=FEW, option="--max-failure-rate")
    folder = any_path(out)
    index = None
    if frame_index is not None:
        there = any_path(frame_index)
        there = there.absolute() if isinstance(there, Path) else there  # an actor of Ray has a directory of its own
        index = FrameIndex(folder=there, settings={**embedder.settings, **spec.framing_settings})
        index.settle()
    settings = {"teacher": MINED, "seeds": seeds.identity, **embedder.settings, **spec.recorded}
    with alone_in(folder, "mining") as scratch:
        plan = settle(folder, Plan(sources=sources, settings=settings), partial(extend, shard_size=spec.shard_size))
        known = _SeedVectors(folder=folder / "seeds", seeds=seeds)
        vectors, pictures, failed = known.embedded(embedder, workers, tolerance, progress)
        miner = ShardMiner(
            embedder=embedder,
            matcher=Matcher(seeds=vectors, apart=spec.distance, device=device),
            spec=spec,
            index=index,
            retry_failed=retry_failed,
        )
        before = names_in(folder / "matches")
        works = _works(folder, plan, spec.films, retry_failed, before)
        if works:
            _unfinish(folder)
        _mine_shards(folder, works, miner, engine or LocalMining(workers=workers), scratch, progress)
        merged = merge_matches(folder, len(plan.sources.shards), len(vectors), spec)
        _require_success(merged, tolerance, len(vectors), spec)
        if not (folder / STATS).exists():
            _write_labels(folder, plan, merged, pictures, spec)
            write_json(folder / STATS, statistics(folder))
    result = _result(folder, merged, len(vectors), failed, time.monotonic() - started)
    return replace(result, again=sum(matches_path(folder, work.number).name in before for work in works))


@dataclass(frozen=True, kw_only=True, slots=True)
class _SeedVectors:
    """Embed the seeds, a file of vectors at a time."""

    folder: AnyPath
    seeds: Seeds

    def embedded(
        self, embedder: Embedder, workers: int, tolerance: Tolerance, progress: StageProgress | None
    ) -> tuple[np.ndarray, list[SeedPicture], dict[str, str]]:
        """Return the vectors of the seeds, the pictures that these are of, and why others could not be decoded."""
        pictures = self.seeds.pictures
        vectors: list[np.ndarray] = []
        used: list[SeedPicture] = []
        failed: dict[str, str] = {}
        with Pool(workers) as pool:
            for number, first in enumerate(range(0, len(pictures), SEEDS_IN_FILE)):
                some = pictures[first : first + SEEDS_IN_FILE]
                path = self.folder / f"{number:06d}.npz"
                if not path.exists():
                    found = embed_seeds(some, embedder, pool)
                    reasons = json_array(dict(found.failed))
                    write_arrays(path, {"vectors": found.vectors, "numbers": found.numbers, "failed": reasons})
                stored = read_arrays(path)
                vectors.append(stored["vectors"])
                used += [some[position] for position in stored["numbers"]]
                failed |= read_json_array(stored["failed"])
                if progress is not None:
                    progress("seeds", first + len(some), len(pictures))
                if objection := tolerance.objection(len(failed), first + len(some), "seeds cannot be decoded"):
                    name, reason = next(iter(failed.items()))
                    raise DataError(f"{objection}; the first: {name}: {reason}")
        if not used:
            name, reason = next(iter(failed.items()))
            raise DataError(f"none of the {len(pictures):,} seeds can be decoded; the first: {name}: {reason}")
        return np.concatenate(vectors), used, failed


def _works(folder: AnyPath, plan: Plan, chosen: FilmFilter, retry_failed: bool, before: set[str]) -> list[Work]:
    """Return the shards that are not mined, or not as they would be now; `before` has the files of those that are."""
    may_change = retry_failed or bool(chosen.facts)
    works = []
    for number, names in enumerate(plan.sources.shards):
        known = f"{number:06d}.npz" in before
        if not known or (may_change and outdated(read_matches(folder, number).films, chosen, retry_failed)):
            works.append(Work(number=number, names=names, root=plan.sources.root))
    return works


def _unfinish(folder: AnyPath) -> None:
    """Remove what depends on all shards: the labels, of which a video more may change each."""
    (folder / STATS).unlink(missing_ok=True)
    for number in finished_shards(folder):
        shard_path(folder, number).unlink(missing_ok=True)


def _mine_shards(
    folder: AnyPath,
    works: Sequence[Work],
    miner: ShardMiner,
    engine: MineEngine,
    scratch: Path,
    progress: StageProgress | None,
) -> None:
    """Mine shards, each written as it is done; workers end before the lock and the scratch folder go."""
    films, total = 0, sum(len(work.names) for work in works)
    with closing(engine.mine(works, miner, scratch)) as steps:  # type: ignore[type-var]
        for step in steps:
            if isinstance(step, Mined):
                write_arrays(matches_path(folder, step.number), step.arrays())
            elif progress is not None:
                films += step.films
                progress("videos", films, max(films, total))


def _require_success(merged: Merged, tolerance: Tolerance, seeds: int, spec: MineSpec) -> None:
    """Refuse a run in which too much failed, or that matched nothing."""
    if objection := tolerance.objection(len(merged.failed), merged.films, "videos cannot be decoded"):
        name, reason = next(iter(merged.failed.items()))
        raise DataError(f"{objection}; the first: {name}: {reason}")
    if not merged.frames:
        reasons = [f"{count:,} are {reason}" for reason, count in merged.left_out.items()]
        reasons += [f"{name}: {reason}" for name, reason in list(merged.failed.items())[:1]]
        raise DataError(f"there is no frame to compare with: {', '.join(reasons) or 'the videos are empty'}")
    if not len(merged.at_least(spec.threshold)):
        lower = math.floor(merged.best * 20) / 20
        value = f" (--threshold {lower:g} finds some)" if lower > 0 else ""
        raise DataError(
            f"no frame of {merged.films:,} videos is like any of {seeds:,} seeds: the best similarity is "
            f"{merged.best:.6f}, below --threshold {spec.threshold:g}; lower it{value}, into another --out, or take "
            f"other seeds or another encoder{_undecoded(merged.failed)}"
        )


def _undecoded(failed: Mapping[str, str]) -> str:
    """Return which videos could not be decoded, for an error that is not about them."""
    if not failed:
        return ""
    names = [f"{name}: {reason}" for name, reason in islice(failed.items(), 3)]
    more = f", and {len(failed) - len(names):,} more" if len(failed) > len(names) else ""
    return f". Not decoded: {'; '.join(names)}{more}"


def _write_labels(folder: AnyPath, plan: Plan, merged: Merged, pictures: Sequence[SeedPicture], spec: MineSpec) -> None:
    """Write the labels of every shard: of matches that are among the best of all shards, the clips that they make."""
    best = merged.at_least(spec.threshold)
    settings = json.dumps(dict(plan.settings), sort_keys=True)
    for number in range(len(plan.sources.shards)):
        here = best.at(best.shard == number)
        mined = read_matches(folder, number)
        rows = _Rows(mined=mined, plan=plan, pictures=pictures, settings=settings, spec=spec)
        write_labels(shard_path(folder, number), rows.labels(here), root=plan.sources.root)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Make the rows of one shard."""

    mined: Mined
    plan: Plan
    pictures: Sequence[SeedPicture]
    settings: str
    spec: MineSpec

    def labels(self, best: Matches) -> list[Pseudolabel]:
        """Return a row for each clip and seed, by clip, the likest seed first; and one for what failed of a video."""
        films, hits, labels = self.mined.films, best.hits, []
        for film, name in enumerate(films.names):
            which = np.flatnonzero(best.film == film)
            times = best.time[which].tolist()
            for joined in join_spans(times, films.seconds[film], self.spec.spans):
                clip = Clip(source=name, start=joined.start, end=joined.end)
                numbers = which[list(joined.matches)]
                order = np.lexsort((hits.seeds[numbers], -hits.similarities[numbers]))
                known: set[tuple[str, ...]] = set()  # of two pictures with the same captions the likest one counts
                for number in numbers[order].tolist():
                    picture = self.pictures[hits.seeds[number]]
                    if picture.captions not in known:
                        known.add(picture.captions)
                        labels.append(self._label(clip, picture, float(hits.similarities[number]), best.time[number]))
            if films.problems[film]:
                start, end = films.lost[film]
                labels.append(self._row(Clip(source=name, start=start, end=end), error=films.problems[film]))
        return labels

    def _label(self, clip: Clip, picture: SeedPicture, similarity: float, time: float) -> Pseudolabel:
        return replace(
            self._row(clip),
            captions=picture.captions,
            confidence=min(1.0, round(similarity, 6)),
            frame_times=(float(time),),
            parent=picture.name,
        )

    def _row(self, clip: Clip, *, error: str = "") -> Pseudolabel:
        """Return a row without captions."""
        return Pseudolabel(
            clip=clip,
            captions=(),
            log_probs=(),
            confidence=None,
            frame_times=(),
            teacher=MINED,
            revision=str(self.plan.settings["fingerprint"]),
            settings=self.settings,
            seed=0,
            run=self.plan.run,
            error=error,
        )


def _result(folder: AnyPath, merged: Merged, seeds: int, failed: Mapping[str, str], seconds: float) -> MiningResult:
    contents = count_contents(folder)
    return MiningResult(
        seeds=seeds,
        failed_seeds=failed,
        films=merged.films,
        frames=merged.frames,
        left_out=merged.left_out,
        clips=len(contents.clips),
        hours=contents.hours,
        captions=len(contents.captions),
        matches=contents.captions.total(),
        best=merged.best,
        seconds=seconds,
        stats=json.loads((folder / STATS).read_bytes()),
        contents=contents,
    )
