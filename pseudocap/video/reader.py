"""Define the interface of every decoder, and the values that it returns.

Times are seconds from the first presented frame. The frame for time t is the last one presented at or before
t; a time within a microsecond below a frame is that frame's, so that a time that a reader reported gives
the same frame again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np

from pseudocap.errors import DecodeError, InputError
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip
from pseudocap.video.clips import plan_clips


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Hold what a file contains (measured) beside what its header claims.

    `width` and `height` are those of the pictures as returned, rotation applied. `duration` reaches from
    the first presented frame to the end of the last one that the file really has. The claims are None where
    the format makes none. `start` is the first frame's time in the file's own clock, which all times here
    have subtracted.
    """

    path: str
    codec: str
    width: int
    height: int
    fps: float | None
    start: float
    duration: float
    claimed_duration: float | None
    claimed_frames: int | None

    @property
    def complete(self) -> bool:
        """Return whether the frames reach as far as the header claims, but for two frames of rounding."""
        slack = 2 / self.fps if self.fps else 0.1
        return self.claimed_duration is None or self.duration + slack >= self.claimed_duration

    @property
    def still(self) -> bool:
        """Return whether the file is a picture: it lasts for one frame."""
        return self.fps is not None and self.duration * self.fps < 1.5

    def missing(self, time: float) -> DecodeError:
        """Return the error for a time that the file claims and does not have."""
        problem = (
            f"the frames end at {self.duration:.3f} s while the file claims {self.claimed_duration:.3f} s: "
            + "it is truncated or its header is wrong; fetch it again, or request earlier times only"
        )
        return DecodeError(self.path, problem, time)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Hold a picture, uint8 [H,W,3], and when it is presented; not `exact` if a key frame replaces it."""

    pixels: np.ndarray
    time: float
    exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Hold pictures [N,H,W,3] in the order requested, with the times [N] at which they are really presented."""

    pixels: np.ndarray
    times: np.ndarray
    exact: bool

    def __len__(self) -> int:
        return len(self.times)


class VideoReader(ABC):
    """Read an open video file. Not for several threads at once: each worker opens its own."""

    path: str

    @property
    @abstractmethod
    def info(self) -> VideoInfo:
        """Return what the file contains; its end is measured at the first access."""

    @abstractmethod
    def _decode(self, times: Sequence[float], nearest_keyframe: bool) -> Iterator[Frame | DecodeError]:
        """Yield one result for each of the checked, ascending times."""

    @abstractmethod
    def every_frame(self) -> Iterator[Frame]:
        """Yield all frames as they are presented, one in memory at a time; those that cannot be decoded are left out.

        The file is read by itself, from its beginning, so that `decode` keeps its position.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file. Closing twice is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, times: Iterable[float], *, nearest_keyframe: bool = False) -> Iterator[Frame | DecodeError]:
        """Yield for each of the ascending times its frame or, as a value, the reason why it has none.

        With `nearest_keyframe` it is the nearest frame that needs no other to be decoded: many times faster, marked
        as not `exact`, and up to half a key frame interval away.
        """
        wanted = list(times)
        for time in wanted:
            if not (math.isfinite(time) and time >= 0):
                raise InputError(f"{self.path}: {time} is no time in a video; times are seconds from its first frame")
        if any(later < earlier for earlier, later in pairwise(wanted)):
            raise InputError(f"{self.path}: decode takes ascending times; frames_at takes them in any order")
        return self._decode(wanted, nearest_keyframe)

    def frames_at(self, times: Iterable[float], *, nearest_keyframe: bool = False) -> Frames:
        """Return the frames for these times, in any order and with repeats; a time without a frame raises its
        DecodeError.

        After the end of a complete file its last frame stays, as in a player; `Frames.times` has its time.
        """
        wanted = list(times)
        if not wanted:
            raise InputError(f"{self.path}: frames_at was given no times")
        order = sorted(range(len(wanted)), key=wanted.__getitem__)
        pixels: np.ndarray | None = None
        presented, exact = np.empty(len(wanted)), True
        results = self.decode((wanted[row] for row in order), nearest_keyframe=nearest_keyframe)
        for row, frame in zip(order, results, strict=True):
            if isinstance(frame, DecodeError):
                raise frame
            if pixels is None:
                pixels = np.empty((len(wanted), *frame.pixels.shape), np.uint8)
            pixels[row], presented[row] = frame.pixels, frame.time
            exact = exact and frame.exact
        assert pixels is not None  # there was at least one time
        return Frames(pixels=pixels, times=presented, exact=exact)

    def frames_evenly(
        self, count: int, *, start: float = 0.0, end: float | None = None, nearest_keyframe: bool = False
    ) -> Frames:
        """Return the frames at the centres of `count` equal segments; a span with fewer frames repeats them."""
        end = self.info.duration if end is None else end
        return self.frames_at(segment_centres(start, end, count), nearest_keyframe=nearest_keyframe)

    def clip_centres(
        self, clip_seconds: float = CLIP_SECONDS, *, min_seconds: float = MIN_SECONDS, nearest_keyframe: bool = False
    ) -> Iterator[tuple[Clip, Frame | DecodeError]]:
        """Yield every clip that the file has, with the frame at its centre; one of them in memory at a time.

        Of a file that ends before its header claims the readable clips come first, then one clip for all
        that is missing, with the DecodeError.
        """
        clips = plan_clips(self.path, self.info.duration, clip_seconds=clip_seconds, min_seconds=min_seconds)
        frames = self.decode((clip.centre for clip in clips), nearest_keyframe=nearest_keyframe)
        yield from zip(clips, frames, strict=True)
        if not self.info.complete:
            start, end = self.info.duration, self.info.claimed_duration
            assert end is not None  # no claim, no gap
            yield Clip(source=self.path, start=start, end=end), self.info.missing(start)


def segment_centres(start: float, end: float, count: int) -> list[float]:
    """Return the centres of `count` equal segments between start and end."""
    if count < 1 or not 0 <= start < end < math.inf:
        raise InputError(
            f"{count} frames between {start} and {end} s: a span has 0 <= start < end and at least one frame"
        )
    return [start + (end - start) * (k + 0.5) / count for k in range(count)]
