"""Open a video file with either decoder."""

from __future__ import annotations

import os
from typing import Literal

from pseudocap.errors import InputError
from pseudocap.video.pyav import open_pyav
from pseudocap.video.reader import VideoInfo, VideoReader

Backend = Literal["pyav", "torchcodec"]


def open_video(
    path: str | os.PathLike[str],
    *,
    backend: Backend = "pyav",
    threads: int = 0,
    short_side: int | None = None,
) -> VideoReader:
    """Open a file for reading frames; use it in a `with`.

    PyAV is the default everywhere: it brings its FFmpeg, so the same file gives the same pixels on every
    machine, and it is the faster one here (docs/experiments.md). `threads` are the decoder's, 0 for as many
    as there are cores: give 1 where many files are read side by side. `short_side` scales while decoding,
    which is cheaper than resizing the frames afterwards and not pixel for pixel the same.
    """
    if threads < 0:
        raise InputError(f"{path}: threads is {threads} and must be 0 (one per core) or more")
    if short_side is not None and short_side < 1:
        raise InputError(f"{path}: short_side is {short_side} and must be at least 1 pixel")
    if backend == "pyav":
        return open_pyav(os.fspath(path), threads=threads, short_side=short_side)
    if backend == "torchcodec":
        from pseudocap.video.torchcodec_reader import TorchCodecReader  # only where it is installed

        if short_side is not None:
            raise InputError(f"{path}: short_side is PyAV's alone; leave it out, or take backend='pyav'")
        return TorchCodecReader(os.fspath(path), threads=threads)
    raise InputError(f"{path}: backend is {backend!r} and must be 'pyav' or 'torchcodec'")


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Return what the file holds; one frame is decoded and the end is looked up."""
    with open_video(path, threads=1) as reader:
        return reader.info
