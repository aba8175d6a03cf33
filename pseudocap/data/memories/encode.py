"""Encode a source of clips with a frozen encoder, and their sound with another, once: `pseudocap encode`.

Workers read and decode in the order of the source, this process encodes in batches and writes shards of a fixed number
of samples. A shard begins with a new batch, so what a run writes does not depend on where earlier runs were stopped:
started again after `kill -9`, the folder is the same to the byte (on the same machine). A clip that is stored already,
under whatever name or from whatever source, is not encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

import torch

from pseudocap.audio.tensors import pad_sounds
from pseudocap.data.memories.shards import ShardVectors, create, write_shard
from pseudocap.data.memories.source import Failure, MemoryRow, ShardIndex, read_index, shard_paths
from pseudocap.data.memories.spec import MemorySpec, view_generator
from pseudocap.data.stream.sources import Described, Source
from pseudocap.data.verify import CRASHED
from pseudocap.errors import ConfigError, DataError, DecodeError, first_line
from pseudocap.files.lock import locked
from pseudocap.memory import Memory
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder
from pseudocap.tolerance import FEW, Tolerance
from pseudocap.types import Progress, Sample
from pseudocap.video.tensors import pad_clips
from pseudocap.workers import ordered


class DescribedSource(Source, Protocol):
    """Describe samples without decoding their pictures, and draw them without their sound."""

    def silent(self) -> Self:
        """Return the same source, of whose samples no sound is read."""

    def describe(self, index: int) -> Described:
        """Describe a sample, with the errors of `sample`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decoded:
    """Hold a worker's result: a sample with its views, none where they are stored already, or why it failed."""

    index: int
    of: Described | None = None
    views: tuple[Sample, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decoding:
    """Decode a sample by its index in a worker, with all of its views."""

    source: DescribedSource
    spec: MemorySpec
    known: frozenset[str]

    def __call__(self, index: int) -> _Decoded:
        try:
            of = self.source.describe(index)
            views: list[Sample] = []
            for view in range(0 if of.content in self.known else self.spec.views):
                source = self.source.silent() if views else self.source
                found = source.sample(index, view_generator(self.spec, of.content, view))
                first = views[0] if views else found  # a view is of other pictures, with the same sound
                views.append(replace(found, sound=first.sound, sound_lengths=first.sound_lengths))
        except (DataError, DecodeError, OSError) as error:
            return _Decoded(index=index, problem=first_line(error))
        return _Decoded(index=index, of=of, views=tuple(views))


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Report what a run did. `failed` has name and reason of every sample that gave nothing, in earlier runs too."""

    stored: int
    already: int
    failed: dict[str, str]
    total: int  # clips with a memory in the folder, each counted once
    bytes: int
    seconds: float


def encode(
    source: DescribedSource,
    encoder: Encoder | None,
    out: Path,
    spec: MemorySpec,
    *,
    audio_encoder: AudioEncoder | None = None,
    batch_size: int = 16,
    shard_size: int = 1024,
    workers: int = 0,
    max_failure_rate: float = 0.1,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Encoded:
    """Store the memories of all samples of a source, and continue where an earlier run over it was stopped.

    Without `encoder` the memories are of sound alone. A clip without sound has no vectors on its axes. `batch_size`
    counts views. More failures than `max_failure_rate` end the run; what was encoded stays. What had failed before and
    fails again is not counted among them.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("shard_size", shard_size, 1), ("workers", workers, 0)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, not {value}")
    tolerance = Tolerance(max_failure_rate, least=FEW)
    started = time.monotonic()
    create(out, spec)
    with locked(out, "encoding"):
        state = _state_for(source, out)
        again = frozenset(state.failures) if retry_failed else frozenset()
        wanted = [*sorted(again), *range(state.next, sum(source.groups))]
        writer = _Writer(
            encoder=encoder,
            audio_encoder=audio_encoder,
            out=out,
            spec=spec,
            state=state,
            batch_size=batch_size,
            shard_size=shard_size,
        )
        _write_samples(writer, source, wanted, again, workers=workers, tolerance=tolerance, progress=progress)
    return _report(writer, wanted=len(wanted), seconds=time.monotonic() - started)


def _state_for(source: DescribedSource, out: Path) -> FolderState:
    """Return how far the source is done in the folder; DataError where that holds clips of another modality."""
    state = FolderState.of(out, source.identity)
    if there := {row.modality for row in state.rows} - {source.modality}:
        raise DataError(f"{out} holds memories of {there.pop()}s, and these are {source.modality}s; take two folders")
    return state


def _write_samples(
    writer: _Writer,
    source: DescribedSource,
    wanted: Sequence[int],
    again: frozenset[int],
    *,
    workers: int,
    tolerance: Tolerance,
    progress: Progress | None,
) -> None:
    """Decode the samples in workers, and encode and write them; those in `again` may fail as before."""
    tried = failed = 0
    decoding = _Decoding(source=source, spec=writer.spec, known=frozenset(writer.state.contents))
    samples = ordered(decoding, wanted, workers=workers, crashed=lambda index: _Decoded(index=index, problem=CRASHED))
    for done, decoded in enumerate(samples, start=1):
        writer.take(decoded, name=source.name(decoded.index))
        if decoded.index not in again:
            tried, failed = tried + 1, failed + bool(decoded.problem)
        if objection := tolerance.objection(failed, tried, "samples failed"):
            writer.flush()
            raise DataError(f"{objection}; the last was {decoded.problem}; what was encoded is kept in {writer.out}")
        if progress is not None:
            progress(done, len(wanted))
    writer.flush()


def _report(writer: _Writer, *, wanted: int, seconds: float) -> Encoded:
    return Encoded(
        stored=writer.stored,
        already=wanted - writer.stored - writer.failing,
        failed={failure.name: failure.reason for failure in writer.state.failures.values()},
        total=len(writer.state.contents),
        bytes=sum(path.stat().st_size for path in writer.out.iterdir()),
        seconds=seconds,
    )


def see(encoder: Encoder, views: Sequence[Sample], *, patches: bool) -> Memory:
    """Encode the frames of views."""
    frames, mask = pad_clips([view.frames for view in views if view.frames is not None])
    assert len(frames) == len(views), "what is encoded has pictures"
    real = None if mask.all() else mask.to(encoder.device)
    return encoder.encode(frames.to(encoder.device, encoder.dtype), real, patches=patches)


def hear(encoder: AudioEncoder, views: Sequence[Sample]) -> Memory:
    """Encode the sound of views, that of the views of one clip once; a view without sound is masked."""
    frames, bins = encoder.preprocess.frames, encoder.preprocess.bins
    sounds = [(torch.zeros(0, frames, bins), torch.zeros(0, dtype=torch.int64))]  # of the views without sound
    rows: dict[int, int] = {}
    for view in views:
        if view.sound is not None and view.sound_lengths is not None and id(view.sound) not in rows:
            rows[id(view.sound)] = len(sounds)
            sounds.append((view.sound, view.sound_lengths))
    padded = pad_sounds(sounds)
    assert padded is not None, "the first row is no None"
    windows, lengths = (each.to(encoder.device) for each in padded)
    picked = torch.tensor([rows.get(id(view.sound), 0) for view in views])
    return encoder.encode(windows, lengths)[picked.to(encoder.device)]


@dataclass(kw_only=True, slots=True)
class FolderState:
    """Summarise the shards of a folder: what is stored, and how far a source is done."""

    source: str
    shards: int = 0
    next: int = 0
    contents: set[str] = field(default_factory=set)
    rows: set[Described] = field(default_factory=set)
    failures: dict[int, Failure] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, source: str) -> FolderState:
        state = cls(source=source)
        for path in shard_paths(folder):
            index = read_index(path)
            state.shards = int(path.stem) + 1
            state.rows |= {row.of for row in index.rows}
            state.contents |= {row.of.content for row in index.rows if row.place is not None}
            if index.source == source:
                state.next = max(state.next, index.next)
                state.failures.update((failure.index, failure) for failure in index.failed)
                for number in index.mended:
                    state.failures.pop(number, None)
        return state


@dataclass(kw_only=True)
class _Writer:
    """Gather views until they fill a batch, encode them, and write what has been encoded as shards."""

    encoder: Encoder | None
    audio_encoder: AudioEncoder | None
    out: Path
    spec: MemorySpec
    state: FolderState
    batch_size: int
    shard_size: int
    stored: int = 0
    failing: int = 0

    def __post_init__(self) -> None:
        self._start_shard()

    def _start_shard(self) -> None:
        self.rows: list[MemoryRow] = []
        self.failed: list[Failure] = []
        self.mended: list[int] = []
        self.vectors = ShardVectors(self.spec, self.shard_size)
        self.waiting: list[Sample] = []

    def take(self, decoded: _Decoded, *, name: str) -> None:
        state = self.state
        if decoded.of is None:
            self.failing += 1
            self.failed.append(Failure(index=decoded.index, name=name, reason=decoded.problem))
            state.failures[decoded.index] = self.failed[-1]
        else:
            if state.failures.pop(decoded.index, None):
                self.mended.append(decoded.index)
            if decoded.of.content not in state.contents:
                state.contents.add(decoded.of.content)
                gathered = (self.vectors.views + len(self.waiting)) // self.spec.views  # samples of this shard
                self.rows.append(MemoryRow(of=decoded.of, place=gathered))
                self.waiting += decoded.views
                self.stored += 1
            elif decoded.of not in state.rows:
                self.rows.append(MemoryRow(of=decoded.of, place=None))
            state.rows.add(decoded.of)
        state.next = max(state.next, decoded.index + 1)
        while len(self.waiting) >= self.batch_size:
            self._encode(self.batch_size)
        if len(self.rows) >= self.shard_size:
            self.flush()

    @torch.inference_mode()
    def _encode(self, count: int) -> None:
        views, self.waiting = self.waiting[:count], self.waiting[count:]
        memories = []
        if self.encoder is not None:
            memories.append(see(self.encoder, views, patches=self.spec.patches))
        if self.audio_encoder is not None:
            memories.append(hear(self.audio_encoder, views))
        axes = {name: axis for memory in memories for name, axis in memory.axes.items()}
        self.vectors.add(Memory(axes, memories[0].patches))

    def flush(self) -> None:
        """End the shard: encode the waiting views, write everything, begin the next."""
        if self.waiting:
            self._encode(len(self.waiting))
        if not (self.rows or self.failed or self.mended):
            return
        index = ShardIndex(
            source=self.state.source,
            next=self.state.next,
            rows=tuple(self.rows),
            failed=tuple(self.failed),
            mended=tuple(self.mended),
        )
        write_shard(self.out, self.state.shards, self.vectors.tensors(), index)
        self.state.shards += 1
        self._start_shard()
