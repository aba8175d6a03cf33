"""Find the cuts of a film, so that clips follow its shots: `--clips shots`.

    for clip in shot_clips("film.mp4", ContentCuts()):
        clip.start, clip.end                             # never crosses a cut

All frames are decoded once, small, by our own reader; a detector takes them as they come and gives the times at which
new shots begin, so memory does not grow with the film. Detectors: cut_detectors.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pseudocap.types import CLIP_SECONDS, MIN_SECONDS, Clip
from pseudocap.video.clips import plan_shots
from pseudocap.video.decode import open_video
from pseudocap.video.reader import Frame


class CutDetector(Protocol):
    """Detect cuts. A value, which travels to worker processes; the same frames give the same cuts."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Return all that cuts depend on, as runs record it; `detector` is its name."""

    @property
    def short_side(self) -> int:
        """Return what frames are scaled to while they are decoded."""

    def cuts(self, frames: Iterable[Frame]) -> Iterator[float]:
        """Yield, ascending, when the first frame of each shot but the first is presented."""


def find_cuts(path: str | os.PathLike[str], detector: CutDetector, *, threads: int = 0) -> Iterator[float]:
    """Yield the cuts of a file as they are found, in seconds from its first frame."""
    with open_video(path, threads=threads, short_side=detector.short_side) as video:
        yield from detector.cuts(video.every_frame())


def shot_clips(
    path: str | os.PathLike[str],
    detector: CutDetector,
    *,
    source: str | None = None,
    duration: float | None = None,
    clip_seconds: float = CLIP_SECONDS,
    min_seconds: float = MIN_SECONDS,
    threads: int = 0,
) -> Iterator[Clip]:
    """Yield the clips of a file within its shots. `source` is how they name it, `duration` its length where known."""
    if duration is None:
        with open_video(path, threads=threads) as video:
            duration = video.info.duration
    cuts = find_cuts(path, detector, threads=threads)
    name = os.fspath(path) if source is None else source
    return plan_shots(name, duration, cuts, clip_seconds=clip_seconds, min_seconds=min_seconds)
