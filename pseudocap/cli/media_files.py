"""Find the videos and images that a word of the command line names: a file, a folder, a pattern in quotes."""

from __future__ import annotations

import glob
from pathlib import Path

from pseudocap.errors import InputError
from pseudocap.types import IMAGE_EXTENSIONS, SOUND_EXTENSIONS, VIDEO_EXTENSIONS


def media_files(word: str, *, sounds: bool = False) -> list[Path]:
    """List the files; of a folder its videos and images, or with `sounds` its videos and sounds."""
    if not word.strip():  # which Path takes for the folder one is in
        raise InputError(f"{word!r} is no name of a file; is a variable of the shell empty?")
    path = Path(word).expanduser()
    if path.is_dir():
        media = (*VIDEO_EXTENSIONS, *(SOUND_EXTENSIONS if sounds else IMAGE_EXTENSIONS))
        below = sorted(each for each in path.rglob("*") if each.suffix.lower() in media and each.is_file())
        if not below:
            raise InputError(f"{word}: the folder holds no video and no {'sound' if sounds else 'image'}")
        return below
    if path.is_file():
        return [path]
    matches = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - any root
    files = [each for each in matches if each.is_file()]
    if not files:
        raise InputError(f"{word}: there is no such file, folder or pattern")
    return files
