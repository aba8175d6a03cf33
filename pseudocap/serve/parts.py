"""Decode the file of a request in a worker process, a batch of clips at a time, within the limits of the service.

A file that was uploaded is foreign: one that crashes FFmpeg ends its worker alone (workers.py), one that takes too long
is given up, and one that is too long or too large is refused before its frames are in memory.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pseudocap.audio.clips import ClipSounds
from pseudocap.caption_files import whole_caption
from pseudocap.errors import DecodeError, InputError
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Preprocess, SoundPreprocess
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import open_video
from pseudocap.video.parts import DecodedPart, crop_frames, decode_part
from pseudocap.video.reader import VideoInfo, VideoReader
from pseudocap.video.tensors import distinct_frames

MAX_PIXELS = 2**26  # of a frame: twice as many as of 8K


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipLengths:
    """Set how long the clips of a video are, and the rest of it that is a clip all the same."""

    clip_seconds: float = CLIP_SECONDS
    min_seconds: float = MIN_SECONDS

    def __post_init__(self) -> None:
        if not 0.1 <= self.clip_seconds < math.inf:
            raise InputError(f"clip_seconds must be at least 0.1, not {self.clip_seconds:g}")
        if not 0 <= self.min_seconds <= self.clip_seconds:
            raise InputError(
                f"min_seconds must be from 0 to the {self.clip_seconds:g} s of a clip, not {self.min_seconds:g}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRequest:
    """Name the clips of a file to decode: `count` of them from the `first` on, or without `lengths` all of it as one.

    `crop` is the input of the captioner, where that is all that it sees of a frame: fewer pixels go between processes.
    `sound` is what it hears of a clip, None where it does not; with `alone` it sees nothing. `until` is a moment of
    time.monotonic, which processes of one machine share.
    """

    path: str
    frames: int
    lengths: ClipLengths | None
    first: int
    count: int
    crop: Preprocess | None
    max_seconds: float
    until: float
    sound: SoundPreprocess | None = None
    alone: bool = False


class _OutOfTimeError(Exception):
    pass


def read_part(request: PartRequest) -> DecodedPart:
    """Decode a part of a file; what is wrong with the file is the part's error."""
    try:
        with _time_limit(request.until - time.monotonic()):
            return _with_sound(_read(request), request)
    except _OutOfTimeError:
        return DecodedPart(error=f"{request.path}: it cannot be decoded in the time that a request may take")
    except DecodeError as error:
        return DecodedPart(error=str(error))


def _read(request: PartRequest) -> DecodedPart:
    with open_video(request.path, threads=1) as video:
        info = video.info
        _check_size(info, request.max_seconds)
        if request.lengths is None:
            return _read_whole(video, info, request)
        return _read_clips(video, info, request, request.lengths)


def _read_whole(video: VideoReader, info: VideoInfo, request: PartRequest) -> DecodedPart:
    frames = distinct_frames(video.frames_evenly(request.frames))
    caption, error = whole_caption(info, len(frames), request.frames)
    return DecodedPart(clips=((caption.start, caption.end, crop_frames(frames, request.crop)),), error=error)


def _read_clips(video: VideoReader, info: VideoInfo, request: PartRequest, lengths: ClipLengths) -> DecodedPart:
    plan = plan_clips(info.path, info.duration, clip_seconds=lengths.clip_seconds, min_seconds=lengths.min_seconds)
    return decode_part(video, plan, first=request.first, count=request.count, frames=request.frames, crop=request.crop)


def _with_sound(part: DecodedPart, request: PartRequest) -> DecodedPart:
    """Add the sound of a part's clips, where the captioner hears."""
    if request.sound is None or not part.clips:
        return part
    with ClipSounds(request.path, request.sound) as sounds:
        heard = tuple(sounds.of(start, end, alone=request.alone) for start, end, _ in part.clips)
    return replace(part, sounds=heard)


def _check_size(info: VideoInfo, max_seconds: float) -> None:
    if info.duration > max_seconds:
        problem = f"it lasts {info.duration:.1f} s, and this service takes at most {max_seconds:g}: cut it"
        raise DecodeError(info.path, problem)
    if info.width * info.height > MAX_PIXELS:
        problem = f"its frames are {info.width} x {info.height}, and this service takes at most {MAX_PIXELS} pixels"
        raise DecodeError(info.path, problem)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _OutOfTimeError inside the block after so many seconds; in a thread, which has no alarm, at its start."""
    if seconds <= 0:
        raise _OutOfTimeError
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
