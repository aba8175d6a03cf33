"""Encode a scene and its sound as a file: H.264 and AAC in mp4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pseudocap.files.atomic import unfinished
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import FPS, Film
from pseudocap.toyworld.sounds import Soundtrack, sound_of
from pseudocap.toyworld.synthesis import RATE
from pseudocap.video.writer import AudioTrack, write_video

# One thread: as many films as there are cores are written at the same time, and the bytes repeat.
OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1", "tune": "zerolatency"}
BIT_RATE = 24_000
SOUND_OPTIONS = {"aac_coder": "fast"}  # a third of the time of the default


def write_film(path: Path, film: Film, *, size: int, track: Soundtrack | None = None) -> None:
    """Render and encode a film; the file appears under its name only once it is complete."""
    samples = None if track is None else sound_of(track)
    with unfinished(path) as scratch:
        encode(scratch, render_film(film, size), samples)


def encode(path: Path, frames: Iterable[np.ndarray], samples: np.ndarray | None = None) -> None:
    """Encode [size, size, RGB] frames as H.264, with a key frame every two seconds, and samples as AAC."""
    sound = (
        None if samples is None else AudioTrack(samples=samples, rate=RATE, bit_rate=BIT_RATE, options=SOUND_OPTIONS)
    )
    options = {**OPTIONS, "g": str(2 * FPS)}
    write_video(path, frames, rate=FPS, container_format="mp4", options=options, sound=sound)
