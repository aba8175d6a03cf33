"""Encode a scene as a file: H.264 in mp4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pseudocap.files.atomic import unfinished
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import FPS, Film
from pseudocap.video.writer import write_video

# One thread: as many films as there are cores are written at the same time, and the bytes repeat.
OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1", "tune": "zerolatency"}


def write_film(path: Path, film: Film, *, size: int) -> None:
    """Render and encode a film; the file appears under its name only once it is complete."""
    with unfinished(path) as scratch:
        encode(scratch, render_film(film, size))


def encode(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Encode [size, size, RGB] frames as H.264, with a key frame every two seconds."""
    write_video(path, frames, rate=FPS, container_format="mp4", options={**OPTIONS, "g": str(2 * FPS)})
