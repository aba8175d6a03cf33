"""A source of clips through a frozen encoder, once: `pseudocap encode`.

Workers read and decode in the order of the source, this process encodes in batches and writes shards of a fixed number
of samples. A shard begins with a new batch, so what a run writes does not depend on where earlier runs were stopped:
started again after `kill -9`, the folder is the same to the byte (on the same machine). A clip that is stored already,
under whatever name or from whatever source, is not encoded again.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from pseudocap.data.memories import (
    Failure,
    MemoryRow,
    MemorySpec,
    ShardIndex,
    create,
    pack,
    read_index,
    shard_paths,
    view_generator,
    write_shard,
)
from pseudocap.data.sources import Described, Source
from pseudocap.errors import ConfigError, DataError, DecodeError, first_line
from pseudocap.model.timesformer import TimeSformer
from pseudocap.types import VideoMemory
from pseudocap.video.watch import pad_clips

FEW = 20  # samples before a share of failures means anything
Progress = Callable[[int, int], None]  # samples done, samples in all


class DescribedSource(Source, Protocol):
    """A source that can say what a sample is without looking at its pictures."""

    def describe(self, index: int) -> Described:
        """Raises what `sample` raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watched:
    """What a worker hands over: a sample with its views, with none where they are stored already, or why not."""

    index: int
    of: Described | None
    views: tuple[torch.Tensor, ...]
    problem: str


class _Watching(Dataset[_Watched]):
    """The samples with these numbers, each with all of its views."""

    def __init__(self, source: DescribedSource, spec: MemorySpec, wanted: Sequence[int], known: frozenset[str]) -> None:
        self.source, self.spec, self.wanted, self.known = source, spec, wanted, known

    def __len__(self) -> int:
        return len(self.wanted)

    def __getitem__(self, place: int) -> _Watched:
        index = self.wanted[place]
        try:
            of = self.source.describe(index)
            views = () if of.content in self.known else tuple(self._views(index, of.content))
        except (DataError, DecodeError, OSError) as error:
            return _Watched(index=index, of=None, views=(), problem=first_line(error))
        return _Watched(index=index, of=of, views=views, problem="")

    def _views(self, index: int, content: str) -> Iterator[torch.Tensor]:
        for view in range(self.spec.views):
            frames = self.source.sample(index, view_generator(self.spec, content, view)).frames
            assert frames is not None, "what is encoded has pictures"
            yield frames


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """What a run did. `failed` has name and reason of every sample that gave nothing, in earlier runs too."""

    stored: int
    already: int
    failed: dict[str, str]
    total: int  # clips with a memory in the folder, each counted once
    bytes: int
    seconds: float


def encode(
    source: DescribedSource,
    encoder: TimeSformer,
    out: Path,
    spec: MemorySpec,
    *,
    batch_size: int = 16,
    shard_size: int = 1024,
    workers: int = 0,
    max_failure_rate: float = 0.1,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Encoded:
    """Store the memories of all samples of a source, and go on where an earlier run over it was stopped.

    `batch_size` counts views. More failures than `max_failure_rate` end the run; what was encoded is kept.
    """
    if batch_size < 1 or shard_size < 1:
        raise ConfigError(f"batch_size and shard_size must be at least 1, not {batch_size} and {shard_size}")
    started = time.monotonic()
    total = sum(source.groups)
    create(out, spec)
    with _alone(out):
        past = Past.of(out, source.identity)
        wanted = [*(sorted(past.failures) if retry_failed else ()), *range(past.next, total)]
        writer = _Writer(encoder=encoder, out=out, spec=spec, past=past, batch_size=batch_size)
        watching = _Watching(source, spec, wanted, frozenset(past.contents))
        for done, watched in enumerate(_in_order(watching, workers), start=1):
            writer.take(watched, name=source.name(watched.index))
            if writer.failing > max_failure_rate * max(done, FEW):
                writer.flush()
                raise DataError(
                    f"{writer.failing} of {done} samples failed, more than a share of {max_failure_rate:g} "
                    f"(max_failure_rate); the last was {watched.problem}; what was encoded is kept in {out}"
                )
            if writer.clips >= shard_size:
                writer.flush()
            if progress is not None:
                progress(done, len(wanted))
        writer.flush()
    return Encoded(
        stored=writer.stored,
        already=len(wanted) - writer.stored - writer.failing,
        failed={failure.name: failure.reason for failure in past.failures.values()},
        total=len(past.contents),
        bytes=sum(path.stat().st_size for path in out.iterdir()),
        seconds=time.monotonic() - started,
    )


def _in_order(watching: _Watching, workers: int) -> Iterable[_Watched]:
    """Workers are started afresh, not forked: a fork of a process with torch's threads may hang."""
    if workers == 0:
        return (watching[place] for place in range(len(watching)))
    return DataLoader(watching, batch_size=None, num_workers=workers, multiprocessing_context="forkserver")


@dataclass(kw_only=True, slots=True)
class Past:
    """What the shards of a folder say: what is stored, and how far a source is done."""

    source: str
    shards: int = 0
    next: int = 0
    contents: set[str] = field(default_factory=set)
    rows: set[Described] = field(default_factory=set)
    failures: dict[int, Failure] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, source: str) -> Past:
        past = cls(source=source)
        for path in shard_paths(folder):
            index = read_index(path)
            past.shards = int(path.stem) + 1
            past.rows |= {row.of for row in index.rows}
            past.contents |= {row.of.content for row in index.rows if row.place is not None}
            if index.source == source:
                past.next = max(past.next, index.next)
                past.failures.update((failure.index, failure) for failure in index.failed)
                for number in index.mended:
                    past.failures.pop(number, None)
        return past


@dataclass(kw_only=True)
class _Writer:
    """Gathers views until they fill a batch, encodes them, and writes what has been encoded as shards."""

    encoder: TimeSformer
    out: Path
    spec: MemorySpec
    past: Past
    batch_size: int
    stored: int = 0
    failing: int = 0

    def __post_init__(self) -> None:
        self._start_shard()

    def _start_shard(self) -> None:
        self.rows: list[MemoryRow] = []
        self.failed: list[Failure] = []
        self.mended: list[int] = []
        self.memories: list[VideoMemory] = []  # of single views, those of a sample side by side
        self.waiting: list[torch.Tensor] = []

    @property
    def clips(self) -> int:
        """Samples whose views are in the shard that is being gathered."""
        return (len(self.memories) + len(self.waiting)) // self.spec.views

    def take(self, watched: _Watched, *, name: str) -> None:
        past = self.past
        if watched.of is None:
            self.failing += 1
            self.failed.append(Failure(index=watched.index, name=name, reason=watched.problem))
            past.failures[watched.index] = self.failed[-1]
        else:
            if past.failures.pop(watched.index, None):
                self.mended.append(watched.index)
            if watched.of.content not in past.contents:
                past.contents.add(watched.of.content)
                self.rows.append(MemoryRow(of=watched.of, place=self.clips))
                self.waiting += watched.views
                self.stored += 1
            elif watched.of not in past.rows:
                self.rows.append(MemoryRow(of=watched.of, place=None))
            past.rows.add(watched.of)
        past.next = max(past.next, watched.index + 1)
        while len(self.waiting) >= self.batch_size:
            self._encode(self.batch_size)

    @torch.inference_mode()
    def _encode(self, count: int) -> None:
        views, self.waiting = self.waiting[:count], self.waiting[count:]
        weights = self.encoder.pos_embed
        frames, mask = pad_clips(views)
        memory = self.encoder.encode(frames.to(weights), None if mask.all() else mask.to(weights.device)).to("cpu")
        for row, view in enumerate(views):
            real = slice(0, len(view))
            self.memories.append(
                VideoMemory(
                    time=memory.time[row : row + 1, real],
                    space=memory.space[row : row + 1],
                    time_mask=memory.time_mask[row : row + 1, real],
                    space_mask=memory.space_mask[row : row + 1],
                )
            )

    def flush(self) -> None:
        """End the shard: encode what waits, write everything, begin anew."""
        if self.waiting:
            self._encode(len(self.waiting))
        if not (self.rows or self.failed or self.mended):
            return
        views = self.spec.views
        samples = [self.memories[first : first + views] for first in range(0, len(self.memories), views)]
        index = ShardIndex(
            source=self.past.source,
            next=self.past.next,
            rows=tuple(self.rows),
            failed=tuple(self.failed),
            mended=tuple(self.mended),
        )
        write_shard(self.out, self.past.shards, pack(samples, self.spec.storage) if samples else {}, index)
        self.past.shards += 1
        self._start_shard()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two runs must not write into one folder."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"another run is writing to {folder}; wait for it, or choose another folder") from None
        yield
