"""Decode frames by PyAV, whose wheel brings its own FFmpeg.

`JumpingReader` jumps from key frame to key frame and decodes what lies between only where it must;
`SequentialReader` is for the formats in which jumping would be wrong.
"""

from __future__ import annotations

import heapq
import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction

import av

from pseudocap.errors import DecodeError
from pseudocap.video.container import FULL_FRAME_FORMATS, KEYED_FORMATS, OpenVideo
from pseudocap.video.decoder_run import Run, decode, first_frame
from pseudocap.video.picture import Picture
from pseudocap.video.reader import Frame, VideoInfo, VideoReader

MICROSECOND = Fraction(1, 1_000_000)
# In these, what is marked as not referred to is never needed by any other frame.
_FINAL_NONREF = {"h264", "mpeg4", "mpeg2video", "mpeg1video", "vp8"}
# A packet of these may hold a frame that is never displayed, and after a key frame every packet is decodable.
_HIDING = {"vp8", "vp9", "av1"}
# How often to start further back: an open GOP or intra refresh needs it once or twice, damage would for ever.
_TRIES = 8


def open_pyav(path: str, *, threads: int, short_side: int | None) -> VideoReader:
    """Open a file with the reader for its format."""
    source = OpenVideo(path, threads=threads)
    try:
        return (JumpingReader if source.formats & KEYED_FORMATS else SequentialReader)(source, short_side)
    except BaseException:
        source.close()
        raise


class _PyAVReader(VideoReader):
    """Share between both readers the values returned, and the measured end."""

    def __init__(self, source: OpenVideo, first: av.VideoFrame, start: Fraction, short_side: int | None) -> None:
        self.path = source.path
        self._source = source
        self._start = start
        self._picture = Picture(first, short_side)
        self._info: VideoInfo | None = None

    @abstractmethod
    def _locate(self, time: Fraction, upcoming: Fraction | None, nearest: bool) -> tuple[av.VideoFrame, Fraction, bool]:
        """Return the frame for a time of the file's own clock, when it is presented, and whether it is exact.

        `upcoming` is the next time that will be requested, None for none.
        """

    @abstractmethod
    def _presented(self, source: OpenVideo) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Decode a file just opened to its end: each frame with when it is presented, in that order."""

    @abstractmethod
    def _reset_decoder(self) -> None:
        """Discard the state of the decoder, after an error."""

    def close(self) -> None:
        self._reset_decoder()
        self._source.close()

    def every_frame(self) -> Iterator[Frame]:
        source = OpenVideo(self.path, threads=self._source.threads)
        latest = Fraction(-1)
        try:
            for presented, frame in self._presented(source):
                since = presented - self._start
                if since > latest and since >= 0 and not frame.is_corrupt:
                    latest = since
                    yield Frame(pixels=self._picture.rgb(frame), time=float(since), exact=True)
        except DecodeError:
            return  # what lies beyond cannot be read
        finally:
            source.close()

    @property
    def info(self) -> VideoInfo:
        if self._info is None:
            self._info = self._measure()
        return self._info

    def _measure(self) -> VideoInfo:
        ruler = OpenVideo(self.path)  # of its own, so that this one keeps its position
        try:
            claimed, fps, frames = ruler.claimed_end, ruler.fps, ruler.stream.frames or None
            extent = ruler.measure()
        finally:
            ruler.close()
        start, end = float(self._start), extent.video
        if claimed is not None and extent.last < claimed:
            end = min(end, claimed)  # MP4 gives the last frame the duration of a decoding step
        slack = 2 / fps if fps else 0.1
        # A header may state the longest of several streams: if that one is complete, so is the video.
        if claimed is not None and claimed <= extent.any + slack:
            claimed = min(claimed, end)
        width, height = self._picture.size
        return VideoInfo(
            path=self.path,
            codec=self._source.codec,
            width=width,
            height=height,
            fps=fps,
            start=start,
            duration=end - start,
            claimed_duration=None if claimed is None else claimed - start,
            claimed_frames=frames,
        )

    def _decode(self, times: Sequence[float], nearest_keyframe: bool) -> Iterator[Frame | DecodeError]:
        clock = [self._start + Fraction(time) + MICROSECOND for time in times]
        for time, here, upcoming in zip(times, clock, [*clock[1:], None], strict=True):
            try:
                frame, presented, exact = self._locate(here, upcoming, nearest_keyframe)
                if frame.is_corrupt:
                    raise DecodeError(self.path, "the frame is damaged in the file")
                result = Frame(pixels=self._picture.rgb(frame), time=float(presented - self._start), exact=exact)
            except DecodeError as error:
                self._reset_decoder()
                yield DecodeError(self.path, error.problem, time)
            else:
                yield result

    def _after_the_end(self, time: Fraction, failure: DecodeError | None) -> None:
        """Refuse a time past the last packet if anything is missing; else the last frame stays."""
        if failure is not None:
            raise failure
        if not self.info.complete:
            raise self.info.missing(float(time - self._start))


class JumpingReader(_PyAVReader):
    """Decode exact frames anywhere in a file whose packets carry presentation times and key frame marks.

    A frame is exact if its packet is the last presented by the time among all since a key frame presented no
    later than that (so the leading pictures of an open GOP, which need the GOP before, are never used), and
    if the decoder delivers it unharmed. Otherwise decoding starts one key frame earlier, a few times over.
    """

    def __init__(self, source: OpenVideo, short_side: int | None) -> None:
        packet, first = first_frame(source)
        if packet.pts is None or first.pts is None:
            raise DecodeError(source.path, "its packets carry no presentation times; remux it, to MP4 for example")
        super().__init__(source, first, first.pts * source.time_base, short_side)
        self._run: Run | None = None
        self._beginning = min(packet.pts, first.pts)
        self._skips = bool(source.formats & FULL_FRAME_FORMATS) and (
            source.codec in _FINAL_NONREF or source.has_one_temporal_layer
        )
        source.load_index(packet.pts)

    def _reset_decoder(self) -> None:
        self._run = None

    def _locate(self, time: Fraction, upcoming: Fraction | None, nearest: bool) -> tuple[av.VideoFrame, Fraction, bool]:
        tick = self._source.time_base
        pts = math.floor(time / tick)
        soon = None if upcoming is None else math.floor(upcoming / tick)
        if nearest:
            pts, soon = self._nearest_key(pts), None
        frame = self._go_on(pts, soon) or self._start_anew(pts, soon)
        return frame, frame.pts * tick, not nearest

    def _presented(self, source: OpenVideo) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        for packet in itertools.chain(source.packets(), [None]):
            with suppress(DecodeError):  # damage costs the frames that need it
                yield from (
                    (frame.pts * source.time_base, frame) for frame in decode(source, packet) if frame.pts is not None
                )

    def _nearest_key(self, pts: int) -> int:
        before, after = self._source.indexed_keys(pts)
        if before is None:
            key = self._restart(pts).key
            return self._beginning if key is None else key
        return after if after is not None and after - pts < pts - before else before

    def _go_on(self, pts: int, upcoming: int | None) -> av.VideoFrame | None:
        """Return the frame from the decoder's present state, if that is right and saves work."""
        run = self._run
        if run is None or not run.serves(pts) or self._key_after(run, pts):
            return None
        try:
            frame, exact = run.frame(pts, last=self._is_last(run, upcoming))
        except DecodeError:
            return None  # damaged before it; a key frame beyond the damage may help
        return frame if exact and not run.ends_before(pts) else None

    def _start_anew(self, pts: int, upcoming: int | None) -> av.VideoFrame:
        run = self._restart(pts)
        for _ in range(_TRIES):
            frame, exact = run.frame(pts, last=self._is_last(run, upcoming))
            if run.ends_before(pts):
                self._after_the_end(pts * self._source.time_base, run.failure)
            if frame is not None and not frame.is_corrupt and (exact or self._source.codec in _HIDING):
                return frame
            if run.key is None:
                if frame is None:
                    break
                return frame  # what a decode of the entire file gives
            run = self._restart(run.key - 1, jumps=False)
        raise DecodeError(self.path, "no undamaged frame can be decoded here, nor from the key frames before")

    def _key_after(self, run: Run, pts: int) -> bool:
        """Return whether the index has a key frame by `pts` that the run has not read up to."""
        before, _ = self._source.indexed_keys(pts)
        return before is not None and run.latest is not None and before > run.latest

    def _is_last(self, run: Run, upcoming: int | None) -> bool:
        return upcoming is None or self._key_after(run, upcoming)

    def _restart(self, pts: int, *, jumps: bool = True) -> Run:
        """Start a run at the last key frame presented at or before `pts`, or at the file's beginning."""
        at, back = pts, math.ceil(self._source.interval / self._source.time_base)
        while at >= self._beginning and self._source.seek(at):
            packets = self._source.packets()
            key = next((packet for packet in packets if packet.is_keyframe), None)
            if key is None or key.pts is None:
                break
            if key.pts <= pts:
                self._run = Run(self._source, key, packets, skips=self._skips, jumps=jumps)
                return self._run
            at -= back  # a transport stream lands just before the time, a key frame or not: ever further back
            back *= 2
        self._source.open()
        self._run = Run(self._source, None, self._source.packets(), skips=self._skips, jumps=jumps)
        return self._run


class SequentialReader(_PyAVReader):
    """Decode exact frames of a file that can only be read from its beginning; an earlier time starts
    over.

    Frames leave a decoder in the order of presentation, so each gets the earliest decoding time that is not
    yet assigned: in AVI, which has no presentation times, that is its index in the film.
    """

    def __init__(self, source: OpenVideo, short_side: int | None) -> None:
        self._broken: tuple[Fraction, DecodeError] | None = None
        self._source = source
        self._rewind()
        assert self._next is not None  # _rewind raises where there is no first frame
        super().__init__(source, self._next[1], self._next[0], short_side)

    def _reset_decoder(self) -> None:
        self._current: tuple[Fraction, av.VideoFrame] | None = None
        self._next: tuple[Fraction, av.VideoFrame] | None = None
        self._frames: Iterator[tuple[Fraction, av.VideoFrame]] = iter(())

    def _rewind(self) -> None:
        self._source.open()
        self._current = None
        self._frames = self._presented(self._source)
        self._next = next(self._frames, None)
        if self._next is None:
            raise DecodeError(self._source.path, "the video stream holds no decodable frame")

    def _presented(self, source: OpenVideo) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        stamps: list[Fraction] = []
        cursor = Fraction(0)
        for packet in itertools.chain(source.packets(), [None]):
            if packet is not None:
                if packet.is_corrupt:
                    raise DecodeError(source.path, "a packet is cut short or damaged")
                begin = cursor if packet.dts is None else packet.dts * packet.time_base
                cursor = begin + ((packet.duration or 0) * packet.time_base or source.interval)
                heapq.heappush(stamps, begin)
            for frame in decode(source, packet):
                yield (heapq.heappop(stamps) if stamps else cursor), frame

    def _locate(self, time: Fraction, upcoming: Fraction | None, nearest: bool) -> tuple[av.VideoFrame, Fraction, bool]:
        if self._broken is not None and time >= self._broken[0]:
            raise self._broken[1]
        if self._current is None or time < self._current[0]:
            self._rewind()
        while self._next is not None and self._next[0] <= time:
            self._current = self._next
            try:
                self._next = next(self._frames, None)
            except DecodeError as error:
                self._broken = self._current[0] + self._source.interval, error
                raise
        assert self._current is not None  # the first frame is at the start, and no time is before it
        if self._next is None:
            self._after_the_end(time, None)
        presented, frame = self._current
        return frame, presented, True
