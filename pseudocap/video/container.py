"""Read an open container and its video stream: packets, jumps to key frames, the index, the true end.

Every failure of FFmpeg becomes a DecodeError here that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.packet import Packet
from av.stream import Disposition

from pseudocap.errors import DecodeError
from pseudocap.files.media import open_media

# Packets of these carry presentation times and reliable key frame marks, so that one may jump among them. Not
# so AVI (no presentation times), GIF (every frame paints over the last) and bare streams: they are read from
# the start.
KEYED_FORMATS = {"mov", "matroska", "flv", "mpegts"}
# A packet of these is a full frame (in a transport stream it may be one field), so it may be skipped by its
# own mark.
FULL_FRAME_FORMATS = {"mov", "matroska", "flv"}
# Here the header states how long the video is; elsewhere FFmpeg guesses from the bit rate.
CLAIMING_FORMATS = {"mov", "matroska", "flv", "avi"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """Hold how far the packets reach, in seconds of the file's clock.

    `last` is when the last frame of the video is presented, `video` when it ends, `any` when the last stream
    ends.
    """

    last: float
    video: float
    any: float


class OpenVideo:
    """Read one open file. `threads` is the decoder's (0 lets FFmpeg choose)."""

    def __init__(self, path: str, *, threads: int = 0) -> None:
        self.path = path
        self.threads = threads
        self._container: av.container.InputContainer | None = None
        self.open()

    def open(self) -> None:
        """Open the file, or open it again at its beginning: the one jump that every format can make."""
        self.close()
        self._container = open_media(self.path)
        try:
            self.stream = self._video_stream()
            self.time_base = Fraction(self.stream.time_base)
            # Slices, not frames: frame threads delay one picture each, which every jump would discard.
            self.stream.codec_context.thread_type = "SLICE"
            self.stream.codec_context.thread_count = self.threads
        except DecodeError:
            self.close()
            raise

    def _video_stream(self) -> av.VideoStream:
        stream = self.container.streams.best("video")
        if stream is None or stream.disposition & Disposition.attached_pic:
            kinds = sorted({other.type for other in self.container.streams})
            problem = f"the file has no video stream (its streams: {', '.join(kinds) or 'none'})"
            if "audio" in kinds:
                problem += "; a captioner that hears takes sound alone (modalities 'a')"
            raise DecodeError(self.path, problem)
        if stream.codec_context is None:
            problem = "FFmpeg in PyAV has no decoder for its video codec; convert the file, to H.264 for example"
            raise DecodeError(self.path, problem)
        return stream

    @property
    def container(self) -> av.container.InputContainer:
        assert self._container is not None, f"{self.path} was closed"
        return self._container

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    @property
    def formats(self) -> set[str]:
        """Return the names of the container's format: `mov,mp4,m4a` are one."""
        return set(self.container.format.name.split(","))

    @property
    def codec(self) -> str:
        """Return the codec's plain name: `av1`, whichever library decodes it."""
        return self.stream.codec_context.codec.canonical_name

    @property
    def has_one_temporal_layer(self) -> bool:
        """Return whether this is HEVC that declares it: with more, a higher layer may need what its own never does."""
        header = self.stream.codec_context.extradata or b""
        return self.codec == "hevc" and len(header) > 21 and header[0] == 1 and header[21] >> 3 & 7 == 1

    @property
    def fps(self) -> float | None:
        """Return frames per second on average, as the header has it."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None

    @property
    def interval(self) -> Fraction:
        """Return how long a frame lasts where the file does not state it."""
        return 1 / Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)

    @property
    def claimed_end(self) -> float | None:
        """Return where the video ends by the header, in the file's clock."""
        if not self.formats & CLAIMING_FORMATS:
            return None
        if "avi" in self.formats and self.stream.frames:  # of a cut file FFmpeg shortens the duration, not the count
            return float(self.stream.frames * self.interval)
        if self.stream.duration:
            return float((self.stream.duration + (self.stream.start_time or 0)) * self.time_base)
        if self.container.duration:  # Matroska and FLV mean the end, not the length
            return self.container.duration / av.time_base
        return None

    def packets(self) -> Iterator[Packet]:
        """Yield the packets of the video from here to the end of the file."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:  # an empty one is FFmpeg's end mark, or AVI's frame that repeats the last
                    yield packet
        except (av.FFmpegError, OSError) as error:
            raise DecodeError(self.path, f"the file cannot be read on: {error}") from error

    def seek(self, pts: int) -> bool:
        """Seek a key frame at or before this time, as the container knows it; False where it cannot."""
        try:
            self.container.seek(pts, stream=self.stream)
        except (av.FFmpegError, OSError):
            return False
        return True

    def load_index(self, first_key: int) -> None:
        """Load the index (Matroska reads its own at the first jump only), and find its clock.

        MP4 indexes decoding times and Matroska presentation times: the first key frame reveals the difference.
        """
        self.seek(first_key)
        entries = self.stream.index_entries
        self._shift = first_key - entries[0].timestamp if len(entries) else 0

    def indexed_keys(self, pts: int) -> tuple[int | None, int | None]:
        """Return when the key frames around `pts` are presented: at or before, at or after; None where unknown."""
        entries = self.stream.index_entries

        def presented(row: int) -> int | None:
            return entries[row].timestamp + self._shift if row >= 0 else None

        wanted = pts - self._shift
        before = presented(entries.search_timestamp(wanted, backward=True))
        return before, presented(entries.search_timestamp(wanted, backward=False))

    def measure(self) -> Extent:
        """Measure how far the packets really reach: from the claimed end's key frame on, or from the beginning.

        Moves the file, so measure on an OpenVideo of its own.
        """
        claimed = self.claimed_end
        if claimed is not None and self.formats & KEYED_FORMATS and self.seek(int(claimed / self.time_base)):
            extent = self._read_extent()
            if extent is not None:
                return extent
        self.open()
        return self._read_extent() or Extent(last=0.0, video=0.0, any=0.0)

    def _read_extent(self) -> Extent | None:
        keyed = bool(self.formats & KEYED_FORMATS)
        ends: dict[int, Fraction] = {}
        last = Fraction(0)
        try:
            for packet in self.container.demux():
                if packet.is_corrupt:
                    break
                if not packet.size:
                    continue
                stamp = packet.pts if keyed else packet.dts
                end = ends.get(packet.stream.index, Fraction(0))
                begin = end if stamp is None else stamp * packet.time_base
                ends[packet.stream.index] = max(end, begin + self._length(packet))
                if packet.stream is self.stream:
                    last = max(last, begin)
        except (av.FFmpegError, OSError):
            pass  # what lies beyond cannot be read: this is the end
        if self.stream.index not in ends:
            return None
        return Extent(last=float(last), video=float(ends[self.stream.index]), any=float(max(ends.values())))

    def _length(self, packet: Packet) -> Fraction:
        return (packet.duration or 0) * packet.time_base or (
            self.interval if packet.stream is self.stream else Fraction(0)
        )
