"""Cut a clip of a video into a file of its own: its packets as they are where key frames allow, else encoded anew.

Packets are copied where the clip begins with a key frame and ends before one (or with the film), none of its frames
needs another clip's, and players would show it as it is. Sound is left out.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np

from pseudocap.errors import DecodeError
from pseudocap.types import Clip
from pseudocap.video.decode import open_video
from pseudocap.video.picture import jpeg
from pseudocap.video.reader import Frame, VideoReader
from pseudocap.video.writer import encode_video, even

Form = Literal["video", "frames"]
How = Literal["copied", "encoded", "frame"]
_COPIED = {"h264", "hevc", "av1", "vp9", "mpeg4"}  # what an MP4 may hold
_JUMPING = {"mov", "matroska", "mp4", "webm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cutting:
    """Set how clips are written. `short_side` scales them, so that they are always encoded anew."""

    form: Form = "video"
    short_side: int | None = None
    crf: int = 23  # of x264, lower is better and larger
    jpeg_quality: int = 95


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Hold the bytes of a clip and how they were made, or why there are none."""

    media: bytes = b""
    how: How = "encoded"
    problem: str = ""


# The same bytes each time: with AVX-512 x264's macroblock tree makes others of the same frames (docs/experiments.md).
ENCODER = {"preset": "veryfast", "threads": "1", "mbtree": "0"}


def cut_clips(path: str, clips: Sequence[tuple[Clip, float]], cutting: Cutting) -> list[Cut]:
    """Cut every clip of one file, each with the moment that its label is of. A failure is in its clip's `Cut`."""
    try:
        with open_video(path, threads=1, short_side=cutting.short_side) as video:
            return [_cut(video, path, clip, moment, cutting) for clip, moment in clips]
    except (DecodeError, OSError, av.FFmpegError) as error:
        problem = error.problem if isinstance(error, DecodeError) else str(error)
        return [Cut(problem=problem) for _ in clips]


def _cut(video: VideoReader, path: str, clip: Clip, moment: float, cutting: Cutting) -> Cut:
    try:
        if cutting.form == "frames":
            return Cut(media=jpeg(video.frames_at([moment]).pixels[0], quality=cutting.jpeg_quality), how="frame")
        if cutting.short_side is None and (copied := _copied(path, clip, video)) is not None:
            return Cut(media=copied, how="copied")
        return Cut(media=_encoded(video, clip, cutting), how="encoded")
    except DecodeError as error:
        return Cut(problem=error.problem)
    except (av.FFmpegError, OSError) as error:
        return Cut(problem=f"FFmpeg cannot write this clip: {error}")


def _copied(path: str, clip: Clip, video: VideoReader) -> bytes | None:
    """Return the clip's packets in an MP4; None where they do not stand by themselves."""
    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
        stream = container.streams.best("video")
        formats = set(container.format.name.split(","))
        if stream is None or stream.codec_context.codec.canonical_name not in _COPIED or not formats & _JUMPING:
            return None
        assert stream.time_base is not None, "an open stream has a clock"
        # Half a frame, so that a border that falls between two frames is not missed for a rounded time stamp.
        slack = 0.5 / float(stream.average_rate or 25)
        start, end = ((video.info.start + time - slack) / stream.time_base for time in (clip.start, clip.end))
        first = round((video.info.start + clip.start) / stream.time_base)
        packets = _packets(container, stream, first, float(start), float(end))
        if packets is None or _is_turned(container, stream):
            return None
        return _muxed(stream, packets)


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, first: int, start: float, end: float
) -> list[av.Packet] | None:
    """Return what is decoded from a clip's key frame up to the next one's, if that is just what is presented in it."""
    container.seek(max(0, first), stream=stream)
    taken: list[av.Packet] = []
    for packet in container.demux(stream):
        if not packet.size:
            break
        if packet.pts is None or packet.dts is None or packet.is_corrupt or packet.is_discard:
            return None
        inside = start <= packet.pts < end
        if not taken and not inside:
            if packet.pts >= end:
                return None
            continue  # on the way from an earlier key frame
        if not taken and not packet.is_keyframe:
            return None
        if packet.is_keyframe and packet.pts >= end:
            return taken if _none_inside(container, stream, start, end, packet) else None
        if not inside:
            return None
        taken.append(packet)
    return taken or None


def _none_inside(
    container: av.container.InputContainer, stream: av.VideoStream, start: float, end: float, key: av.Packet
) -> bool:
    """Return whether no frame that is decoded after the next key frame belongs before it (as in an open GOP)."""
    for packet in container.demux(stream):
        if not packet.size or packet.pts is None or packet.dts is None:
            break
        if start <= packet.pts < end:
            return False
        if packet.dts >= key.pts:  # nothing decoded later is presented earlier
            break
    return True


def _is_turned(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Return whether the file requests rotation or mirroring of players, which a copy would lose."""
    container.seek(0)
    frame = next(container.decode(stream), None)
    return frame is None or frame.side_data.get("DISPLAYMATRIX") is not None


def _muxed(stream: av.VideoStream, packets: list[av.Packet]) -> bytes:
    file = io.BytesIO()
    timed = [(each, each.pts, each.dts) for each in packets if each.pts is not None and each.dts is not None]  # as all
    first = min(pts for _, pts, _ in timed)
    with av.open(file, "w", format="mp4") as container:
        out = container.add_stream_from_template(stream)
        for packet, pts, dts in timed:
            packet.pts, packet.dts = pts - first, dts - first
            packet.stream = out
            container.mux(packet)
    return file.getvalue()


def _encoded(video: VideoReader, clip: Clip, cutting: Cutting) -> bytes:
    """Encode its frames at a constant rate in H.264, upright, cut to even sides."""
    rate = Fraction(video.info.fps or 25).limit_denominator(1001)
    count = max(1, round((clip.end - clip.start) * rate))
    # A quarter of a frame late: where the film has this very rate, each time then falls safely within its frame.
    times = [clip.start + float((number + Fraction(1, 4)) / rate) for number in range(count)]
    return encode_video(
        (even(_pixels(frame)) for frame in video.decode(times)), rate=rate, options={"crf": str(cutting.crf), **ENCODER}
    )


def _pixels(frame: Frame | DecodeError) -> np.ndarray:
    if isinstance(frame, DecodeError):
        raise frame
    return frame.pixels
