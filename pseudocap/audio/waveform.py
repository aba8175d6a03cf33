"""Read the sound of a file, or of spans of it, by PyAV: mono float32 at the rate that you ask for.

Times are seconds from the first presented frame of the video, as those of clips are; in a file without pictures, from
the first sample. A span has exactly round((end - start) * rate) samples, of the same grid as the sound of the entire
file: where there is no sound (the track starts late, ends early, has a gap or is damaged) they are zero. Of several
tracks FFmpeg's choice for the video is read. Channels are mixed to one, each by its share.

`read_spans` decodes the clips of one film in a single pass and holds one span at a time. A far jump seeks where the
format can land exactly, some sound before the span, because decoders depend on what came before.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.filter import Graph
from av.stream import Discard, Disposition

from pseudocap.errors import DecodeError, InputError, NoSoundError
from pseudocap.files.media import open_media, reason

RATE = 16000
JUMP = 20.0  # seconds to skip from which seeking is faster than decoding
LEAD_IN = 1  # seconds decoded before a span after a jump: an AAC frame needs the one before, Opus 80 ms, MP3 its bits
# Timestamps of a container are rounded, and clocks drift; what differs more is a gap, or sound twice.
TOLERANCE = 0.05
# One may jump in these to packets with reliable times. The others are decoded from their beginning.
JUMPING_FORMATS = {"mov", "matroska", "wav"}
Span = tuple[float, float | None]


def read_sound(
    path: str | os.PathLike[str], *, start: float = 0.0, end: float | None = None, rate: int = RATE
) -> np.ndarray:
    """Return the sound of a file, or of these seconds of it, float32 [samples]; NoSoundError where it has no track."""
    return next(read_spans(path, [(start, end)], rate=rate))


def read_spans(path: str | os.PathLike[str], spans: Iterable[Span], *, rate: int = RATE) -> Iterator[np.ndarray]:
    """Yield the sound of each of many spans with ascending starts, in one pass over the file; they may overlap."""
    with SoundFile(path, rate=rate) as sound:
        yield from sound.spans(spans)


def sound_alone(path: str | os.PathLike[str]) -> float | None:
    """Return how long a file without pictures sounds, in seconds; None of a film, and of what has no sound to read."""
    try:
        with SoundFile(path) as sound:
            return None if sound.has_pictures else sound.duration
    except DecodeError:
        return None


class SoundFile:
    """Read an open file's sound. Not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str], *, rate: int = RATE) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
            raise InputError(f"{path}: rate is {rate!r} and must be a whole number of samples a second, such as {RATE}")
        self.path, self.rate = os.fspath(path), rate
        self._container: av.container.InputContainer | None = None
        self._begun: Iterator[av.AudioFrame] | None = None  # decoded from the beginning, until it is opened again
        self._open()
        try:
            self._origin = self._first_picture()
            frames = self._frames()
            first = list(itertools.islice(frames, 2))
            self._track = _Track.of(first)
            self._begun = itertools.chain(first, frames)
        except BaseException:
            self.close()
            raise
        self.has_pictures = self._origin is not None
        if self._origin is None and self._track is not None:
            self._origin = self._track.start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def start(self) -> Fraction:
        """Return the moment that times count from, in seconds of the file's own clock."""
        return self._origin or Fraction(0)

    @property
    def duration(self) -> float:
        """Return the seconds from the start to the end of the track, by its packets."""
        self._open()
        assert self._container is not None
        end = self.start
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.size:
                    end = max(end, (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base))
        except (av.FFmpegError, OSError):
            pass  # what lies beyond cannot be read
        return float(end - self.start)

    def close(self) -> None:
        """Close the file. Closing twice is no error."""
        self._begun = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def spans(self, spans: Iterable[Span]) -> Iterator[np.ndarray]:
        """Yield the sound of each span; a span without an end reaches to the end of the track."""
        chunks: Iterator[tuple[int, np.ndarray]] | None = None
        held: deque[tuple[int, np.ndarray]] = deque()
        reached, latest = 0, 0.0
        for start, end in spans:
            self._check(start, end, latest)
            latest, first = start, round(start * self.rate)
            last = math.inf if end is None else first + round((end - start) * self.rate)
            if chunks is None or (self._may_jump and first - reached > JUMP * self.rate):
                chunks, reached = self._chunks(start), first
                held.clear()
            while held and held[0][0] + len(held[0][1]) <= first:
                held.popleft()
            while reached < last and (chunk := next(chunks, None)) is not None:
                reached = max(reached, chunk[0] + len(chunk[1]))
                if reached > first:
                    held.append(chunk)
            length = max(reached - first, 0) if end is None else int(last) - first
            yield _assemble(held, first, length)

    def _check(self, start: float, end: float | None, latest: float) -> None:
        if not (math.isfinite(start) and start >= 0 and (end is None or (math.isfinite(end) and end > start))):
            raise InputError(f"{self.path}: a span has 0 <= start < end, in seconds, and this is {start} to {end}")
        if start < latest:
            raise InputError(f"{self.path}: spans come by their start, and {start} s follows {latest} s; sort them")

    def _open(self) -> None:
        self.close()
        self._container = open_media(self.path)
        stream = self._container.streams.best("audio", related=self._picture_stream())
        if stream is None:
            self.close()
            raise NoSoundError(self.path, "the file has no sound track")
        if stream.codec_context is None:
            self.close()
            problem = "FFmpeg in PyAV has no decoder for its audio codec; convert the file, to AAC for example"
            raise DecodeError(self.path, problem)
        self._stream = stream
        self._may_jump: bool = not JUMPING_FORMATS.isdisjoint(self._container.format.name.split(","))

    def _picture_stream(self) -> av.VideoStream | None:
        assert self._container is not None
        stream = self._container.streams.best("video")
        return None if stream is None or stream.disposition & Disposition.attached_pic else stream

    def _first_picture(self) -> Fraction | None:
        """Return when the first frame is presented, by the file's clock; None without pictures. Reads the file."""
        stream = self._picture_stream()
        if stream is None or stream.codec_context is None:
            return None
        assert self._container is not None
        first: Fraction | None = None
        try:
            for packet in self._container.demux(stream):
                if first is None and packet.size:
                    stamp = packet.pts if packet.pts is not None else packet.dts
                    first = None if stamp is None else stamp * packet.time_base
                for frame in packet.decode():
                    return first if frame.pts is None else frame.pts * Fraction(frame.time_base)
        except (av.FFmpegError, OSError):
            pass
        return first

    def _frames(self, time: Fraction | None = None) -> Iterator[av.AudioFrame]:
        """Decode from the beginning, or from a packet before a time of the file's clock. Damaged packets give none."""
        self._open()
        assert self._container is not None
        for other in self._container.streams:
            if other.index != self._stream.index:
                other.discard = Discard.all  # so that MP4 does not even read the pictures
        failure: Exception | None = None
        decoded = False
        try:
            if time is not None:
                self._container.seek(math.floor(time / self._stream.time_base), stream=self._stream)
            for packet in self._container.demux(self._stream):
                try:
                    for frame in packet.decode():
                        # Of the first frame after a jump a decoder may cut as much as at the beginning of the track.
                        if decoded or time is None:
                            yield frame
                        decoded = True
                except EOFError:
                    break
                except (av.FFmpegError, OSError) as error:
                    failure = error
        except (av.FFmpegError, OSError) as error:
            failure = error
        if failure is not None and not decoded:
            raise DecodeError(self.path, f"no sound can be decoded: {reason(failure)}") from failure

    def _chunks(self, start: float) -> Iterator[tuple[int, np.ndarray]]:
        """Yield sound from a time on, or from earlier: the index of a first sample, and samples; each sample once."""
        reached: int | None = None
        for position, samples in self._pieces(start):
            again = 0 if reached is None else max(0, reached - position)
            if again < len(samples):
                reached = position + len(samples)
                yield position + again, samples[again:]

    def _pieces(self, start: float) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what each stretch of sound without a gap resamples to; the second of two that overlap repeats some."""
        track = self._track
        if track is None:
            return
        assert self._origin is not None  # a track has a start
        jumps = start >= JUMP and self._may_jump
        base = round((track.start - self._origin) * self.rate)
        run: _Run | None = None
        begun, self._begun = self._begun, None
        for frame in self._frames(self._origin + Fraction(start) - LEAD_IN) if jumps else begun or self._frames():
            if run is None or not run.continues(frame):
                at = _presented(frame)
                if at is None:
                    at = track.start if run is None else run.end
                if run is not None:
                    yield from run.finish()
                position, skipped = track.align(at, frame.sample_rate, self.rate)
                run = _Run(frame, at=at, position=base + position, skipped=skipped, rate=self.rate)
            yield from run.add(frame)
        if run is not None:
            yield from run.finish()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Track:
    """Hold when a track starts by the file's clock, and how its first two frames divide it into samples."""

    start: Fraction
    rate: int
    tick: Fraction  # to which the container rounds times
    first: int  # samples of the first frame, of which some may be cut
    each: int  # samples of a frame

    @classmethod
    def of(cls, frames: Sequence[av.AudioFrame]) -> _Track | None:
        """Read the first two frames; None of a track without any."""
        if not frames:
            return None
        first, second = frames[0], frames[-1]
        return cls(
            start=_presented(first) or Fraction(0),
            rate=first.sample_rate,
            tick=Fraction(first.time_base or Fraction(1, first.sample_rate)),
            first=first.samples,
            each=second.samples,
        )

    def align(self, at: Fraction, own: int, rate: int) -> tuple[int, int]:
        """Return for sound of the rate `own` at a time its position in the resampled track, and how many samples are
        skipped so that it lies on the grid that a decoding from the beginning has."""
        index = round((at - self.start) * own)
        period = own // math.gcd(own, rate)
        if period * 20 > own:  # to skip so much would be heard
            return round((at - self.start) * rate), 0
        if self.tick * own > 1 and own == self.rate:  # Matroska's times are milliseconds, and frames have a fixed size
            exact = self.first + round((index - self.first) / self.each) * self.each
            index = exact if index and abs(exact - index) <= self.tick * own else index
        skipped = -index % period
        return (index + skipped) * rate // own, skipped


class _Run:
    """Resample frames that follow one another without a gap, and know where the result lies."""

    def __init__(self, first: av.AudioFrame, *, at: Fraction, position: int, skipped: int, rate: int) -> None:
        self._at, self._position = at, position
        self._taken = self._pulled = 0  # samples given to the resampler, and when it was last emptied
        self._rate, self._format = first.sample_rate, _format(first)
        self._tick, self._began = float(first.time_base or 0), float(at)
        graph = Graph()
        base = Fraction(1, first.sample_rate)
        nodes = [
            graph.add_abuffer(
                sample_rate=first.sample_rate, format=first.format, layout=first.layout.name, time_base=base
            )
        ]
        if skipped:
            nodes.append(graph.add("atrim", f"start_sample={skipped}"))
        channels = first.layout.nb_channels
        if "channels" in first.layout.name:  # nobody knows which is which
            nodes.append(graph.add("pan", "mono|c0=" + "+".join(f"{1 / channels}*c{k}" for k in range(channels))))
        # The shares of the channels sum to 1, where FFmpeg's default for floats adds stereo's up to 1.41.
        nodes.append(graph.add("aresample", f"{rate}:ochl=mono:osf=flt:rematrix_maxval=1"))
        nodes.append(graph.add("asetnsamples", f"n={rate}:p=0"))
        nodes.append(graph.add("abuffersink"))
        graph.link_nodes(*nodes).configure()
        self._graph, self._source, self._sink = graph, nodes[0], nodes[-1]

    @property
    def end(self) -> Fraction:
        """Return when the last frame ends."""
        return self._at + Fraction(self._taken, self._rate)

    def continues(self, frame: av.AudioFrame) -> bool:
        """Return whether this frame follows the last one, in the same format."""
        pts = frame.pts  # in floats: this is asked 43 times for each second of sound
        late = 0.0 if pts is None else pts * self._tick - self._began - self._taken / self._rate
        return abs(late) <= TOLERANCE and _format(frame) == self._format

    def add(self, frame: av.AudioFrame) -> Iterable[tuple[int, np.ndarray]]:
        """Take a frame, and return what is ready, about once a second: position and samples."""
        self._taken += frame.samples
        frame.pts = None
        self._source.push(frame)
        if self._taken - self._pulled < self._rate:
            return ()
        self._pulled = self._taken
        return self._ready()

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what the resampler still holds."""
        self._source.push(None)
        return self._ready()

    def _ready(self) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            try:
                frame = self._sink.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            samples = frame.to_ndarray()[0]
            self._position += len(samples)
            yield self._position - len(samples), samples


def _presented(frame: av.AudioFrame) -> Fraction | None:
    return None if frame.pts is None else frame.pts * Fraction(frame.time_base)


def _format(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _assemble(chunks: Iterable[tuple[int, np.ndarray]], first: int, length: int) -> np.ndarray:
    sound = np.zeros(length, np.float32)
    for position, samples in chunks:
        begin, end = max(position, first), min(position + len(samples), first + length)
        if begin < end:
            sound[begin - first : end - first] = samples[begin - position : end - position]
    return sound
