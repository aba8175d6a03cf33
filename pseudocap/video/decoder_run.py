"""Decode from a key frame on, doing no more work than the requested frames need.

Packets are read ahead, which is cheap, until it is certain which one is the last presented by the time. Up to
there the decoder may skip frames that no other refers to; with the requested packet in, it is drained if
nothing else is requested from this run.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator

import av
from av.packet import Packet

from pseudocap.errors import DecodeError
from pseudocap.files.media import reason
from pseudocap.video.container import OpenVideo


class Run:
    """Run the decoder once; times are ticks of the stream. `key`: its first packet, None for the start of the file.

    `skips`: frames that no other refers to may be skipped. `jumps`: a later key frame on the way may be the
    start.
    """

    def __init__(
        self, source: OpenVideo, key: Packet | None, rest: Iterator[Packet], *, skips: bool, jumps: bool
    ) -> None:
        self._source = source
        self._skips = skips
        self._jumps = jumps
        self._rest = rest
        self._read_to: int | None = None  # every packet that is decoded before this has been read
        self._ended = False
        self.failure: DecodeError | None = None  # why the packets ended before the file's end
        self._begin(key)

    def _begin(self, key: Packet | None) -> None:
        self.key: int | None = None if key is None else key.pts
        self._queue: deque[Packet] = deque()  # read, not yet decoded
        self._known: list[int] = []  # presentation times of the packets read, from the current frame's on
        self._ready: deque[av.VideoFrame] = deque()  # decoded, presented later than what was requested
        self._current: av.VideoFrame | None = None
        self._drained = False
        if key is not None and key.pts is not None:
            self._queue.append(key)
            self._known.append(key.pts)

    @property
    def latest(self) -> int | None:
        """Return the latest presentation time of any packet read."""
        return max(self._known, default=None)

    def serves(self, pts: int) -> bool:
        """Return whether this run can still give the frame for `pts`: it has not passed it, and has not ended."""
        if self._current is None or self._drained:
            return False
        return pts >= self._current.pts

    def ends_before(self, pts: int) -> bool:
        """Return whether the packets ended so early that one presented by `pts` may be missing."""
        return self._ended and (self._read_to is None or pts > self._read_to)

    def frame(self, pts: int, *, last: bool) -> tuple[av.VideoFrame | None, bool]:
        """Return the last decoded frame presented by `pts`, and whether it is of the right packet.

        `last` means that nothing more is requested from this run.
        """
        self._read_ahead(pts)
        target = max((known for known in self._known if known <= pts), default=None)
        if target is None:
            return None, False
        waiting = any(packet.pts == target for packet in self._queue)
        while True:
            while self._ready and self._ready[0].pts <= pts:
                self._current = self._ready.popleft()
            if self._ready or self._drained or (self._current is not None and self._current.pts == target):
                break
            waiting = self._advance(target, waiting, last)
        if self._current is not None:
            self._known = [known for known in self._known if known >= self._current.pts]
        return self._current, self._current is not None and self._current.pts == target

    def _read_ahead(self, pts: int) -> None:
        """Read until no unread packet can be presented by `pts`: none decoded after it can be."""
        while not self._ended and (self._read_to is None or self._read_to <= pts):
            packet = self._read()
            if self._jumps and packet is not None and packet.is_keyframe and stamp(packet) <= pts:
                self._source.stream.codec_context.flush_buffers()
                self._begin(packet)  # a later start, reached without a seek

    def _read(self) -> Packet | None:
        try:
            packet = next(self._rest, None)
            if packet is not None and (packet.is_corrupt or packet.pts is None):
                raise DecodeError(self._source.path, "a packet is cut short or damaged")
        except DecodeError as error:
            self.failure, packet = error, None
        if packet is None or packet.pts is None:
            self._ended = True
            return None
        self._read_to = packet.dts if packet.dts is not None else self._read_to
        self._queue.append(packet)
        if not packet.is_discard:  # an edit list has these decoded and not displayed
            self._known.append(packet.pts)
        return packet

    def _advance(self, target: int, waiting: bool, last: bool) -> bool:
        """Feed the decoder its next packet, or the end; return whether the target's packet is still to come."""
        if not waiting and last:
            packet = None
        elif self._queue or self._read() is not None:
            packet = self._queue.popleft()
        else:
            packet = None
        self._drained = packet is None
        spare = self._skips and packet is not None and stamp(packet) < target
        self._ready.extend(decode(self._source, packet, skip_nonref=spare))
        return waiting and packet is not None and packet.pts != target


def stamp(packet: Packet) -> int:
    """Return when the packet is presented; a run reads none without a time."""
    assert packet.pts is not None
    return packet.pts


def decode(source: OpenVideo, packet: Packet | None, *, skip_nonref: bool = False) -> list[av.VideoFrame]:
    """Decode this packet (None: the end, which drains the decoder) and return the frames that are ready."""
    context = source.stream.codec_context
    context.skip_frame = "NONREF" if skip_nonref else "DEFAULT"
    try:
        return context.decode(packet)
    except EOFError:
        return []
    except (av.FFmpegError, OSError) as error:
        if any(name == "image2" or name.endswith("_pipe") for name in source.formats):
            kind = {"mjpeg": "JPEG"}.get(source.codec, source.codec.upper())
            problem = f"the picture is damaged, or is no {kind} ({reason(error)}): save or fetch it again"
            raise DecodeError(source.path, problem) from error
        raise DecodeError(source.path, f"the stream is damaged: {reason(error)}") from error


def first_frame(source: OpenVideo) -> tuple[Packet, av.VideoFrame]:
    """Return the first packet and the first presented frame of a file just opened."""
    packets = source.packets()
    first: Packet | None = None
    for packet in itertools.chain(packets, [None]):
        first = first or packet
        frames = decode(source, packet)
        if first is not None and frames:
            return first, frames[0]
    raise DecodeError(source.path, "the video stream holds no decodable frame")
