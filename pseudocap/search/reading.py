"""Read films as clips in worker processes, a few clips at a time, for what embeds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pseudocap.audio.clips import ClipSounds, Windows
from pseudocap.errors import DecodeError, first_line
from pseudocap.files.reading import sha256_of
from pseudocap.types import Clip, Preprocess, SoundPreprocess
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import open_video
from pseudocap.video.parts import CRASHED, DecodedPart, decode_part
from pseudocap.video.reader import VideoInfo
from pseudocap.video.shots import CutDetector, shot_clips
from pseudocap.workers import Pool


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSettings:
    """Set which clips of a film are read: their length, the shortest rest, and the detector of the cuts that they
    follow, where they do; `count` of them at a time, with so many frames each, of a frame the `crop` alone, and their
    `sound` where it is heard."""

    clip_seconds: float
    min_seconds: float
    cuts: CutDetector | None = None
    frames: int
    crop: Preprocess | None = None
    sound: SoundPreprocess | None = None
    count: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmRequest:
    """Name the clips of a film to read, from the `first` on. The `plan` is known once its first part was read."""

    path: str
    settings: ClipSettings
    first: int = 0
    plan: tuple[Clip, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmPart:
    """Hold decoded clips and the sound of each, None where there is none; with the first ones the plan of all, and a
    hash of the file's content."""

    part: DecodedPart
    sounds: tuple[Windows | None, ...] = ()
    plan: tuple[Clip, ...] = ()
    content: str = ""


def read_rest(film: FilmRequest, head: FilmPart, pool: Pool) -> Iterator[FilmPart]:
    """Return the parts of a film that follow its first one, read ahead."""
    count = film.settings.count
    rest = (replace(film, first=first, plan=head.plan) for first in range(count, len(head.plan), count))
    return pool.ordered(rest, crashed=crashed)


def read_film_part(request: FilmRequest) -> FilmPart:
    """Read a part of a film; what is wrong with the file is the part's error."""
    settings, content = request.settings, ""
    try:
        content = "" if request.plan else sha256_of(Path(request.path))
        with open_video(request.path, threads=1) as video:
            plan = request.plan or _plan(video.info, settings)
            part = decode_part(
                video, plan, first=request.first, count=settings.count, frames=settings.frames, crop=settings.crop
            )
            if video.info.still:  # which lasts no time
                part = replace(part, clips=tuple((0.0, 0.0, frames) for _, _, frames in part.clips))
    except DecodeError as error:
        return FilmPart(part=DecodedPart(error=str(error)), content=content)
    except OSError as error:
        return FilmPart(part=DecodedPart(error=f"{request.path}: it cannot be read: {first_line(error)}"))
    return FilmPart(part=part, sounds=_sounds(request.path, part, settings.sound), plan=plan, content=content)


def _sounds(path: str, part: DecodedPart, preprocess: SoundPreprocess | None) -> tuple[Windows | None, ...]:
    if preprocess is None:
        return (None,) * len(part.clips)
    with ClipSounds(path, preprocess) as sounds:
        return tuple(sounds.of(start, end) for start, end, _ in part.clips)


def crashed(request: FilmRequest) -> FilmPart:
    return FilmPart(part=DecodedPart(error=f"{request.path}: {CRASHED}"))


def _plan(info: VideoInfo, settings: ClipSettings) -> tuple[Clip, ...]:
    lengths = {"clip_seconds": settings.clip_seconds, "min_seconds": settings.min_seconds}
    if settings.cuts is None or info.still:
        return tuple(plan_clips(info.path, info.duration, **lengths))
    clips = shot_clips(info.path, settings.cuts, source=info.path, duration=info.duration, threads=1, **lengths)
    return tuple(clips)
