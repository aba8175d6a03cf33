"""From a scene to a file: H.264 in mp4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from pseudocap.files.atomic import unfinished
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import FPS, Film

# One thread: as many films as there are cores are written at the same time, and the bytes repeat.
OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1", "tune": "zerolatency"}


def write_film(path: Path, film: Film, *, size: int) -> None:
    """Render and encode; the file appears under its name only once it is whole."""
    with unfinished(path) as scratch:
        encode(scratch, render_film(film, size), size=size)


def encode(path: Path, frames: Iterable[np.ndarray], *, size: int) -> None:
    """[size, size, RGB] frames as H.264, with a key frame every two seconds."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = OPTIONS
        stream.codec_context.gop_size = 2 * FPS
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
