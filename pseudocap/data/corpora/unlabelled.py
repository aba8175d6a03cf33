"""List videos without captions as rows, to be encoded or labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pseudocap.audio.waveform import SoundFile
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, DecodeError
from pseudocap.rows import stretch_id
from pseudocap.types import MIN_SECONDS, SOUND_EXTENSIONS, CaptionedVideo, Progress
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import probe


def uncaptioned(
    videos: VideoFolder,
    *,
    clip_seconds: float | None = None,
    min_seconds: float | None = None,
    progress: Progress | None = None,
) -> tuple[CaptionedVideo, ...]:
    """List the videos of a folder, entire or cut into clips, as rows without captions.

    A clip at a video's end that is shorter than `min_seconds` is left out (by default 1 s, or a shorter clip's length).
    A video that cannot be opened stays one row, so that the code that decodes it counts and names it.
    """
    rows = []
    if clip_seconds is not None and min_seconds is None:
        min_seconds = min(MIN_SECONDS, clip_seconds)
    paths = sorted(videos.paths)
    for done, path in enumerate(paths):
        if progress is not None:
            progress(done, len(paths))
        name = path.relative_to(videos.root).as_posix()
        entire = CaptionedVideo(id=name, video=name, captions=(), split="train")
        try:
            duration = None if clip_seconds is None or min_seconds is None else _duration(path)
        except DecodeError:
            duration = None
        if clip_seconds is None or min_seconds is None or duration is None:
            rows.append(entire)
            continue
        for clip in plan_clips(name, duration, clip_seconds=clip_seconds, min_seconds=min_seconds):
            key = stretch_id(name, clip.start, clip.end)
            rows.append(replace(entire, id=key, start=clip.start, end=clip.end))
    if not rows:
        raise DataError(f"{videos.root} holds no video file")
    return tuple(rows)


def _duration(path: Path) -> float:
    if path.suffix.lower() not in SOUND_EXTENSIONS:
        return probe(path).duration
    with SoundFile(path) as sound:
        return sound.duration
