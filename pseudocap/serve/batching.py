"""Caption the files of many requests with one captioner: decoded ahead in worker processes, clips batched across them.

One thread owns the captioner and the pool. It takes requests in the order of their arrival, a part of each (a batch of
clips) at a time, so that a long film does not keep the short ones waiting; captions decoded clips of equal options
together; and waits a few milliseconds for a batch to fill where the captioner would otherwise be idle.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from pseudocap.audio.clips import Windows
from pseudocap.captioner import FileCaptioner
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError
from pseudocap.serve.parts import ClipLengths, PartRequest, read_part
from pseudocap.types import FileCaptions, TimedCaption
from pseudocap.video.parts import CRASHED, DecodedPart
from pseudocap.video.reader import Frames
from pseudocap.video.subtitles import merge_equal
from pseudocap.workers import AHEAD, CrashError, Future, Job, Pool

POLL = 0.05  # seconds: how often jobs are looked at that were started anew after a crash
STOPPED = "the captioner has stopped, and takes no more files: start the service again; its log has the reason"
HELD = 4  # batches of decoded clips in memory, before files wait to be decoded


class CaptionerStoppedError(RuntimeError):
    """Report that the thread of the captioner has ended, so that nothing is captioned any more."""

    def __init__(self) -> None:
        super().__init__(STOPPED)


@dataclass(eq=False, kw_only=True, slots=True)
class _Ticket:
    """Hold a request on its way: what it is for, what is captioned of it, how many of its clips wait."""

    file: str
    decoding: FileDecoding
    lengths: ClipLengths | None
    until: float
    future: Future[FileCaptions] = field(default_factory=Future)
    captions: list[TimedCaption] = field(default_factory=list)
    first: int = 0
    waiting: int = 0
    more: bool = False
    error: str = ""

    @property
    def batches_with(self) -> Hashable:
        """Return what the requests have in common that may share its batches: none, where captions are sampled."""
        return self.decoding if self.decoding.top_p is None else (self.decoding, id(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clip:
    ticket: _Ticket
    start: float
    end: float
    seen: Any
    since: float  # time.monotonic


@dataclass(kw_only=True, slots=True)
class Counts:
    """Count what was captioned since the start."""

    files: int = 0
    failed: int = 0
    clips: int = 0
    batches: int = 0


class BatchingCaptioner:
    """Caption files of concurrent callers; use it in a `with`, which at its end finishes what it has.

    A future that `submit` returns may be cancelled: nothing more is done for it. Where the thread ends before its time,
    `stopped` is true, and all futures fail with CaptionerStoppedError at once.
    """

    def __init__(
        self,
        model: FileCaptioner[Any],
        *,
        workers: int = 2,
        batch_size: int = 8,
        gather: float = 0.005,
        max_seconds: float = 600.0,
    ) -> None:
        self.model, self.batch_size, self.counts = model, batch_size, Counts()
        self._workers, self._gather, self._max_seconds = workers, gather, max_seconds
        self.stopped = False
        self._open: set[_Ticket] = set()  # whose futures are not done
        self._arrived: deque[_Ticket] = deque()
        self._reading: list[tuple[_Ticket, Job]] = []
        self._clips: dict[Hashable, deque[_Clip]] = {}
        self._wake, self._closing = threading.Event(), False
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="captioner")

    def __enter__(self) -> Self:
        """Start, and return once the first request costs no more than the next."""
        try:
            self._thread.start()
            self._started.result()
        except BaseException:  # Ctrl-C too: the thread would wait for requests for ever
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()

    def submit(
        self, file: str | Path, decoding: FileDecoding, *, lengths: ClipLengths | None = None, seconds: float
    ) -> Future[FileCaptions]:
        """Queue a file; with `lengths` every clip of it is captioned. Decoding is given up after so many seconds."""
        if self._closing:
            raise ConfigError("the service ends: it takes no more files")
        self.model.frames_of(decoding.num_frames)  # refused now, where it cannot be
        self.model.sound_of(decoding)
        ticket = _Ticket(file=str(file), decoding=decoding, lengths=lengths, until=time.monotonic() + seconds)
        self._open.add(ticket)
        ticket.future.add_done_callback(lambda _: self._open.discard(ticket))
        self._arrived.append(ticket)
        self._wake.set()
        if self.stopped:  # looked at last, so that no file comes between
            raise CaptionerStoppedError
        return ticket.future

    def _run(self) -> None:
        try:
            self._caption_all()
        except BaseException as error:
            logging.getLogger(__name__).critical(STOPPED, exc_info=error)
            self.stopped = True
            for ticket in list(self._open):
                self._fail(ticket, CaptionerStoppedError())

    def _caption_all(self) -> None:
        with Pool(self._workers, read_part, preload=(read_part.__module__,)) as pool:
            try:
                self._warm_up(pool)
            except BaseException as error:
                self._started.set_exception(error)
                return
            self._started.set_result(None)
            while not (self._closing and not (self._arrived or self._reading or self._clips)):
                self._wake.wait(self._patience())
                self._wake.clear()
                self._collect(pool)
                self._read_ahead(pool)
                if batch := self._next_batch():
                    self._caption(batch)
                    self._wake.set()

    def _warm_up(self, pool: Pool) -> None:
        """Start the worker processes, and caption a grey frame: libraries load, kernels are chosen."""
        nothing = PartRequest(
            path="", frames=1, lengths=None, first=0, count=1, crop=None, max_seconds=0.0, until=time.monotonic() + 600
        )
        jobs = [Job((nothing,)) for _ in range(pool.size)]
        for job in jobs:
            pool.submit(job)
        grey = Frames(pixels=np.full((1, 32, 32, 3), 128, np.uint8), times=np.zeros(1), exact=True)
        self.model.caption_clips([self.model.prepare(grey)], FileDecoding(max_new_tokens=2))
        for job in jobs:
            pool.result(job)

    def _patience(self) -> float | None:
        """Return how long nothing needs to be done, unless something arrives or is decoded."""
        if self._clips:
            oldest = min(clips[0].since for clips in self._clips.values())
            return max(0.0, oldest + self._gather - time.monotonic())
        return POLL if self._reading else None

    def _read_ahead(self, pool: Pool) -> None:
        """Start to decode what has arrived, as far as workers and memory go."""
        held = sum(map(len, self._clips.values()))
        while self._arrived and len(self._reading) < 1 + AHEAD * pool.size and held < HELD * self.batch_size:
            ticket = self._arrived.popleft()
            if ticket.future.cancelled():
                continue
            job = Job((self._part_of(ticket),))
            pool.submit(job)
            if job.future is not None:
                job.future.add_done_callback(lambda _: self._wake.set())
            self._reading.append((ticket, job))

    def _part_of(self, ticket: _Ticket) -> PartRequest:
        return PartRequest(
            path=ticket.file,
            frames=self.model.frames_of(ticket.decoding.num_frames),
            lengths=ticket.lengths,
            first=ticket.first,
            count=self.batch_size,
            crop=self.model.crop,
            max_seconds=self._max_seconds,
            until=ticket.until,
            sound=self.model.sound_of(ticket.decoding),
            alone=ticket.decoding.modalities == "a",
        )

    def _collect(self, pool: Pool) -> None:
        """Take what the workers have decoded, in whatever order."""
        for ticket, job in list(self._reading):
            if job.future is None or job.future.done():  # None: it was lost with a crashed worker
                self._reading.remove((ticket, job))
                try:
                    self._receive(ticket, pool.result(job))
                except CrashError:
                    self._receive(ticket, DecodedPart(error=f"{ticket.file}: {CRASHED}"))
                except Exception as error:
                    self._fail(ticket, error)

    def _receive(self, ticket: _Ticket, part: DecodedPart) -> None:
        if ticket.future.cancelled():
            return
        now = time.monotonic()
        sounds = part.sounds or (None,) * len(part.clips)
        clips = [
            _Clip(ticket=ticket, start=start, end=end, seen=self._seen(ticket, frames, sound), since=now)
            for (start, end, frames), sound in zip(part.clips, sounds, strict=True)
        ]
        ticket.waiting, ticket.more, ticket.error = len(clips), part.more, part.error
        if clips:
            self._clips.setdefault(ticket.batches_with, deque()).extend(clips)
        else:
            self._finish(ticket)

    def _seen(self, ticket: _Ticket, frames: Frames, sound: Windows | None) -> Any:
        return self.model.prepare(frames) if sound is None else self.model.hear(frames, sound, ticket.decoding)

    def _next_batch(self) -> list[_Clip]:
        """Return the clips that have waited longest and others of equal options, once they are a batch or have waited
        long enough; nothing before."""
        for key, clips in list(self._clips.items()):  # without those that nobody waits for, or that failed
            self._clips[key] = deque(clip for clip in clips if not clip.ticket.future.done())
            if not self._clips[key]:
                del self._clips[key]
        if not self._clips:
            return []
        key = min(self._clips, key=lambda each: self._clips[each][0].since)
        clips = self._clips[key]
        others = bool(self._reading or self._arrived)
        if len(clips) < self.batch_size and others and time.monotonic() < clips[0].since + self._gather:
            return []
        batch = [clips.popleft() for _ in range(min(self.batch_size, len(clips)))]
        if not clips:
            del self._clips[key]
        return batch

    def _caption(self, batch: list[_Clip]) -> None:
        try:
            texts = self.model.caption_clips([clip.seen for clip in batch], batch[0].ticket.decoding)
            captioned = list(zip(batch, texts, strict=True))
        except Exception as error:
            for ticket in {clip.ticket for clip in batch}:
                self._fail(ticket, error)
            return
        self.counts.batches += 1
        self.counts.clips += len(batch)
        for clip, text in captioned:
            ticket = clip.ticket
            ticket.captions.append(TimedCaption(start=clip.start, end=clip.end, text=text))
            ticket.waiting -= 1
            if not ticket.waiting and ticket.more:
                ticket.first += self.batch_size
                self._arrived.append(ticket)
            elif not ticket.waiting:
                self._finish(ticket)

    def _finish(self, ticket: _Ticket) -> None:
        captions = ticket.captions if ticket.lengths is None else merge_equal(ticket.captions)
        if ticket.future.set_running_or_notify_cancel():
            self.counts.files += 1
            self.counts.failed += not ticket.captions
            ticket.future.set_result(FileCaptions(file=ticket.file, captions=tuple(captions), error=ticket.error))

    def _fail(self, ticket: _Ticket, error: Exception) -> None:
        if not ticket.future.done() and ticket.future.set_running_or_notify_cancel():
            self.counts.files += 1
            self.counts.failed += 1
            ticket.future.set_exception(error)
