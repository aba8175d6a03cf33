"""Mine one shard of videos: frames at a fixed rate are embedded, and compared with all seeds.

A shard decides alone what is batched with what, so wherever it is done, and beside whatever, it gives the same matches.
Frames are decoded as labelling decodes them, as the centres of clips of 1 / fps seconds each, by seeking.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.errors import ConfigError
from pseudocap.label.engines import LocalEngine
from pseudocap.label.framing import Framing
from pseudocap.label.work import DecodedClips, ShardEnd, VideoTask, Work
from pseudocap.mine.features import Embedder
from pseudocap.mine.films import FilmFilter
from pseudocap.mine.frame_index import Films, FrameIndex
from pseudocap.mine.match import FRAMES_AT_ONCE, FrameBlock, Matcher, TopMatches
from pseudocap.mine.spans import Spans

EMBEDDED_AT_ONCE = 256  # frames of a shard that are held as pixels
LOWEST = 0.5  # the similarity from which on matches are counted for the report, whatever the threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class MineSpec:
    """Set what is a match, and which clip it becomes.

    Of every seed the `top` best frames count whose similarity is at least `threshold`. In one video these lie at least
    `apart` seconds from each other, by default a span, so that ten matches are ten clips and not ten frames of one.
    """

    threshold: float = 0.6
    top: int = 10
    apart: float | None = None
    fps: float = 1.0
    spans: Spans = field(default_factory=Spans)
    films: FilmFilter = field(default_factory=FilmFilter)
    shard_size: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold is {self.threshold:g} and must be a similarity from 0 to 1")
        if self.top < 1 or self.shard_size < 1:
            name = "top" if self.top < 1 else "shard_size"
            raise ConfigError(f"{name} is {getattr(self, name)} and must be at least 1")
        if not 0 < self.fps <= 60:
            raise ConfigError(f"fps is {self.fps:g} and must be above 0 and at most 60 frames a second")
        if self.apart is not None and not self.apart >= 0:
            raise ConfigError(f"apart is {self.apart:g} seconds and must be 0 (off) or more")

    @property
    def distance(self) -> float:
        return self.spans.span if self.apart is None else self.apart

    @property
    def framing_settings(self) -> Mapping[str, object]:
        """Return what the frames depend on beside the encoder."""
        return {"fps": self.fps, **{f"films.{name}": value for name, value in self.films.recorded.items()}}

    @property
    def recorded(self) -> Mapping[str, object]:
        """Return all of it as a run's settings."""
        return {
            **{name: getattr(self, name) for name in ("threshold", "top", "shard_size")},
            "apart": self.distance,
            "span": self.spans.span,
            "longest": self.spans.longest,
            **self.framing_settings,
        }

    def framing(self, size: int) -> Framing:
        """Return the frames as labelling decodes them; a rest of half a step has a frame, too."""
        step = 1 / self.fps
        return Framing(clip_seconds=step, min_seconds=step / 2, choice="centre", short_side=size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mined:
    """Hold the best matches of every seed in a shard, and its videos. `frames` numbers those of the shard."""

    number: int
    films: Films
    count: int  # of frames
    best: float
    seeds: np.ndarray
    similarities: np.ndarray
    frames: np.ndarray
    film: np.ndarray
    time: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        own = {name: getattr(self, name) for name in ("seeds", "similarities", "frames", "film", "time")}
        return {**self.films.arrays(), **own, "count": np.int64(self.count), "best": np.float32(self.best)}

    @classmethod
    def of(cls, number: int, arrays: Mapping[str, Any]) -> Mined:
        own = {name: arrays[name] for name in ("seeds", "similarities", "frames", "film", "time")}
        films = Films.of(arrays)
        return cls(number=number, films=films, count=int(arrays["count"]), best=float(arrays["best"]), **own)


def outdated(films: Films, chosen: FilmFilter, retry_failed: bool) -> bool:
    """Return whether the videos of a shard must be read again: what is known of them has changed since, in what it
    excludes, or some could not be decoded and are to be tried again."""
    changed = any(map(chosen.objection, films.names))
    changed |= any(chosen.objection(name) != reason for name, reason in films.left_out.items())
    return changed or (retry_failed and any(films.problems))


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmsRead:
    """Report how far a run has come since the last report."""

    films: int
    frames: int


@dataclass(kw_only=True)
class ShardMiner:
    """Mine shards by one embedder and one matcher, which threads that mine several shards take in turn."""

    embedder: Embedder
    matcher: Matcher
    spec: MineSpec
    index: FrameIndex | None = None
    retry_failed: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    def mine(self, works: Iterable[Work], engine: LocalEngine, scratch: Path) -> Iterator[Mined | FilmsRead]:
        """Give the shards as they are done: first those whose frames are indexed, then the others."""
        left = []
        for work in works:
            stored = None if self.index is None else self.index.read(work)
            if stored is None or outdated(stored[0], self.spec.films, self.retry_failed):
                left.append(work)
                continue
            films, frames = stored
            yield FilmsRead(films=len(films.names), frames=len(frames["vectors"]))
            yield self._matched(work.number, films, **frames)
        yield from self._decoded(left, engine, scratch)

    def _decoded(self, works: list[Work], engine: LocalEngine, scratch: Path) -> Iterator[Mined | FilmsRead]:
        begun: dict[int, _Frames] = {}  # decoding runs ahead, also into the next shards

        def tasks() -> Iterator[VideoTask | ShardEnd]:
            for work in works:
                here = scratch / str(work.number)
                here.mkdir(parents=True, exist_ok=True)
                begun[work.number] = frames = _Frames(work=work, embedder=self.embedder, turn=self.turn)
                for task in work.tasks({}, here):
                    if objection := self.spec.films.objection(task.media.name):
                        frames.films.left_out[task.media.name] = objection
                    else:
                        yield task
                yield ShardEnd(number=work.number)

        for part in engine.decode(tasks(), self.spec.framing(self.embedder.size), scratch):
            if isinstance(part, ShardEnd):
                frames = begun.pop(part.number)
                found = frames.finish()
                shutil.rmtree(scratch / str(part.number), ignore_errors=True)
                if self.index is not None:
                    self.index.write(frames.work, frames.films, found)
                yield self._matched(part.number, frames.films, **found)
            else:
                next(iter(begun.values())).take(part)
                yield FilmsRead(films=int(part.ends), frames=len(part.decoded))

    def _matched(self, number: int, films: Films, *, vectors: np.ndarray, film: np.ndarray, time: np.ndarray) -> Mined:
        """Compare the frames of a shard with all seeds, whole videos at a time."""
        lowest = min(self.spec.threshold, LOWEST)
        top, best = TopMatches(len(self.matcher.seeds), self.spec.top, at_least=lowest), -1.0
        for first, end in _blocks(film):
            span = slice(first, end)
            block = FrameBlock(vectors=vectors[span], first=first, films=film[span], times=time[span])
            with self.turn:
                best = max(best, self.matcher.match(block, top))
        hits = top.hits()
        return Mined(
            number=number,
            films=films,
            count=len(film),
            best=best,
            seeds=hits.seeds,
            similarities=hits.similarities,
            frames=hits.frames,
            film=film[hits.frames],
            time=time[hits.frames],
        )


@dataclass(kw_only=True)
class _Frames:
    """Embed the frames of a shard as they come."""

    work: Work
    embedder: Embedder
    turn: threading.Lock
    films: Films = field(default_factory=Films)
    _current: int = -1
    _pixels: list[np.ndarray] = field(default_factory=list)
    _film: list[int] = field(default_factory=list)
    _time: list[float] = field(default_factory=list)
    _vectors: list[np.ndarray] = field(default_factory=list)

    def take(self, part: DecodedClips) -> None:
        films = self.films
        if self._current < 0:
            self._current = films.add(part.media.name)
        number = self._current
        if part.clips:
            films.seconds[number] = part.clips[-1].end
        for decoded in part.decoded:
            if decoded.problem:
                clip = decoded.clip
                start = films.lost[number][0] if films.problems[number] else clip.start
                films.problems[number] = films.problems[number] or decoded.problem
                films.lost[number] = start, clip.end
            elif decoded.frames is not None:
                self._pixels.append(decoded.frames[0])
                self._film.append(number)
                self._time.append(decoded.clip.centre)
                if len(self._pixels) == EMBEDDED_AT_ONCE:
                    self._embed()
        if part.ends:
            self._current = -1

    def finish(self) -> dict[str, np.ndarray]:
        """Return the vectors [N,E] of all frames, with the number of the film and the moment of each."""
        if self._pixels or not self._vectors:
            self._embed()
        vectors = np.concatenate(self._vectors)
        return {"vectors": vectors, "film": np.array(self._film, np.int64), "time": np.array(self._time)}

    def _embed(self) -> None:
        with self.turn:
            self._vectors.append(self.embedder.embed(self._pixels))
        self._pixels = []


def _blocks(film_N: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield stretches of whole videos, of about FRAMES_AT_ONCE frames each."""
    ends = np.append(np.flatnonzero(np.diff(film_N)) + 1, len(film_N)) if len(film_N) else np.zeros(0, int)
    first = last = 0
    for end in ends.tolist():
        if end - first > FRAMES_AT_ONCE and last > first:
            yield first, last
            first = last
        last = end
    if last > first:
        yield first, last
