"""Choose the frames of a clip that a teacher captions, and decode them in a worker.

- `centre`: the frame at the clip's centre, as in the papers.
- `sharpest`: of `count` frames around the centre the one with the most detail; the papers' frames are often blurred.
- `consensus`: `count` frames spread over the clip, each captioned by itself; the captions vote (consensus.py).
- `spread`: `count` frames spread over the clip, decoded as one film, for teachers of video.
- `none`: no frame is decoded, for teachers that do not look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pseudocap.errors import ConfigError, DecodeError, first_line
from pseudocap.label.sources import Media, fetch_media
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import open_video
from pseudocap.video.reader import Frame, VideoInfo, segment_centres
from pseudocap.video.shots import CutDetector, shot_clips

FrameChoice = Literal["centre", "sharpest", "consensus", "spread", "none"]
# Formats without key frames to jump to are read from the beginning each time, so they are cut into fewer pieces.
_JUMPING = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".flv", ".ts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Framing:
    """Set how videos are cut into clips and clips into frames; part of every label's settings.

    `window` is the stretch around the centre, in seconds, that `sharpest` chooses from. `short_side` is what frames
    are scaled to while they are decoded, None for as they are. With a detector in `cuts` clips lie within shots.
    """

    clip_seconds: float = CLIP_SECONDS
    min_seconds: float = MIN_SECONDS
    choice: FrameChoice = "centre"
    count: int = 1
    window: float = 1.0
    short_side: int | None = None
    nearest_keyframe: bool = False
    cuts: CutDetector | None = None

    def __post_init__(self) -> None:
        if self.choice not in get_args(FrameChoice):
            raise ConfigError(f"frames is {self.choice!r} and must be one of {', '.join(get_args(FrameChoice))}")
        if self.count < 1 or (self.count < 2 and self.choice in ("sharpest", "consensus")):
            raise ConfigError(f"{self.choice} chooses among frames: count is {self.count} and must be at least 2")
        if not 0 < self.clip_seconds < math.inf:
            raise ConfigError(f"clip_seconds is {self.clip_seconds:g} and must be above 0")
        if not 0 <= self.min_seconds <= self.clip_seconds:
            raise ConfigError(
                f"min_seconds is {self.min_seconds:g} and must be from 0 to clip_seconds ({self.clip_seconds:g})"
            )
        if not self.window > 0:
            raise ConfigError(f"window is {self.window:g} seconds and must be above 0")

    def recorded(self) -> dict[str, object]:
        """Return all of it as a run's settings. Detectors are recorded where there is one, so that runs from before
        them can be resumed."""
        fields = {name: value for name, value in asdict(replace(self, cuts=None)).items() if name != "cuts"}
        return fields if self.cuts is None else {**fields, "cuts": dict(self.cuts.settings)}

    @property
    def frames(self) -> int:
        """Return how many frames of a clip are decoded."""
        return {"centre": 1, "none": 0}.get(self.choice, self.count)

    def times(self, clip: Clip) -> list[float]:
        """Return the moments of a clip at which frames are decoded, ascending."""
        if self.choice == "none":
            return []
        if self.choice == "centre":
            return [clip.centre]
        if self.choice == "sharpest":
            half = min(self.window, clip.end - clip.start) / 2
            return segment_centres(clip.centre - half, clip.centre + half, self.count)
        return segment_centres(clip.start, clip.end, self.count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """Hold the clips of a video, or why it has none. `path` is where it can be opened, `gap` what its end is missing,
    `framing` how it is decoded: as requested, but frames that are smaller already are not blown up for it."""

    clips: tuple[Clip, ...] = ()
    path: str = ""
    framing: Framing | None = None
    gap: tuple[Clip, str] | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedClip:
    """Hold a clip with the frames that the teacher captions, uint8 [T,H,W,3], or why there are none."""

    clip: Clip
    frames: np.ndarray | None = None
    times: tuple[float, ...] = ()
    problem: str = ""


def plan_video(media: Media, framing: Framing, scratch: Path) -> Planned:
    """Read the length of a video and cut it into clips; what lies elsewhere is fetched first."""
    path = ""
    try:
        path = media.address if media.is_local else fetch_media(media, scratch)
        with open_video(path, threads=1) as video:
            info = video.info
        clips = _clips(media.name, path, info, framing)
        gap = None
        if not info.complete:
            assert info.claimed_duration is not None, "without a claim nothing is missing"
            lost = Clip(source=media.name, start=info.duration, end=info.claimed_duration)
            gap = lost, info.missing(info.duration).problem
        return Planned(clips=tuple(clips), path=path, framing=_fitted(framing, info), gap=gap)
    except Exception as error:
        if path and not media.is_local:
            Path(path).unlink(missing_ok=True)
        return Planned(problem=_reason(error))


def _clips(name: str, path: str, info: VideoInfo, framing: Framing) -> list[Clip]:
    lengths = {"clip_seconds": framing.clip_seconds, "min_seconds": framing.min_seconds}
    if framing.cuts is None:
        return plan_clips(name, info.duration, **lengths)
    return list(shot_clips(path, framing.cuts, source=name, duration=info.duration, threads=1, **lengths))


def _fitted(framing: Framing, info: VideoInfo) -> Framing:
    """Drop a scaling that only costs time: the teacher resizes to its own shape anyway. A teacher of video receives
    what `PseudoCap.caption` would show it, pixel for pixel."""
    side = framing.short_side
    if side is None or framing.choice == "spread" or min(info.width, info.height) > side:
        return framing
    return replace(framing, short_side=None)


def pieces(media: Media, clips: Sequence[Clip], framing: Framing) -> list[tuple[Clip, ...]]:
    """Split clips into runs decoded at once: about 16 frames, more where every run starts from the beginning."""
    size = max(1, 16 // max(1, framing.frames))
    if not media.name.lower().endswith(_JUMPING):
        size *= 16
    return [tuple(clips[first : first + size]) for first in range(0, len(clips), size)]


def decode_planned(path: str, clips: Sequence[Clip], framing: Framing) -> list[DecodedClip]:
    """Decode the frames of some clips of a video. What cannot be decoded is reported in its `DecodedClip`."""
    times = [framing.times(clip) for clip in clips]
    try:
        with open_video(path, threads=1, short_side=framing.short_side) as video:
            # Windows of neighbouring clips may touch but never overlap, so the times ascend.
            frames = iter(video.decode([t for some in times for t in some], nearest_keyframe=framing.nearest_keyframe))
            return [
                _decoded(clip, [next(frames) for _ in some], framing) for clip, some in zip(clips, times, strict=True)
            ]
    except Exception as error:
        return [DecodedClip(clip=clip, problem=_reason(error)) for clip in clips]


def _decoded(clip: Clip, frames: list[Frame | DecodeError], framing: Framing) -> DecodedClip:
    found = [frame for frame in frames if isinstance(frame, Frame)]
    if len(found) < len(frames):
        lost = next(frame for frame in frames if isinstance(frame, DecodeError))
        return DecodedClip(clip=clip, problem=_reason(lost))
    if framing.choice == "sharpest":
        found = [max(found, key=lambda frame: sharpness(frame.pixels))]  # the earliest of equals
    return DecodedClip(
        clip=clip,
        frames=np.stack([frame.pixels for frame in found]) if found else None,
        times=tuple(frame.time for frame in found),
    )


def sharpness(pixels: np.ndarray) -> float:
    """Return the variance of the Laplacian of the brightness: blur takes it away."""
    light = pixels.astype(np.float32).mean(axis=2)
    if min(light.shape) < 3:
        return 0.0
    middle = light[1:-1, 1:-1]
    return float((4 * middle - light[:-2, 1:-1] - light[2:, 1:-1] - light[1:-1, :-2] - light[1:-1, 2:]).var())


def _reason(error: Exception) -> str:
    """Return why, without the path, which the row has and which may be that of a copy."""
    return error.problem if isinstance(error, DecodeError) else first_line(error)
