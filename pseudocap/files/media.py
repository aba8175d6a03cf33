"""Open media files by FFmpeg; every failure becomes a DecodeError that names the file."""

from __future__ import annotations

import os

import av

from pseudocap.errors import DecodeError


def open_media(path: str, *, what: str = "a video or a picture") -> av.container.InputContainer:
    """Open a local file to read its streams; what it should be is for the error."""
    try:
        # Only local files: a playlist in disguise must not make us fetch what it names.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(path, _opening_problem(path, what, error)) from error


def reason(error: Exception) -> str:
    """Return what FFmpeg says is wrong, without its number and the name of its function."""
    return str(getattr(error, "strerror", None) or error)


def _opening_problem(path: str, what: str, error: Exception) -> str:
    if not os.path.exists(path):  # noqa: PTH110 - a Path cannot hold every name that a file can have
        return "there is no such file"
    if os.path.isdir(path):  # noqa: PTH112
        return "this is a folder, not a video file"
    if os.path.getsize(path) == 0:  # noqa: PTH202
        return "the file is empty (0 bytes)"
    return f"FFmpeg cannot open it as {what}: {reason(error)}"
