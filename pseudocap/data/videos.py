"""Find the video files that a corpus names, and decode them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from os import PathLike, walk
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pseudocap.errors import DataError
from pseudocap.tolerance import Tolerance
from pseudocap.types import VIDEO_EXTENSIONS, CaptionedVideo, Preprocess

if TYPE_CHECKING:
    import torch


def plain_name(video: str) -> str:
    """Return a corpus's name of a video, without the extension that it may or may not have."""
    name = PurePosixPath(video)
    return (name.with_suffix("") if name.suffix.lower() in VIDEO_EXTENSIONS else name).as_posix()


def refuse_absent(missing: Sequence[str], rows: int, root: Path, tolerance: Tolerance, *, what: str = "videos") -> None:
    """Raise DataError where the rows without a file are more than may be."""
    wrong = f"{what} are not below {root} ({', '.join(missing[:3])}, ..)"
    if objection := tolerance.objection(len(missing), rows, wrong):
        raise DataError(
            f"{objection}; name another folder, list what is present with pseudocap data verify, or allow more"
        )


def decode_files(files: Iterable[Path], preprocess: Preprocess) -> Iterator[torch.Tensor]:
    """Decode entire files as evaluation does, [T,3,H,W] each, one after another."""
    from pseudocap.video.tensors import decode_file

    return (decode_file(file, preprocess) for file in files)


class VideoFolder:
    """Look up the video files below a folder, by path or by name, with any common extension.

    Rows that were written elsewhere may name folders that lead here: of `films/a.mp4` the file `a.mp4` is found too.
    The tree is walked once, at the first need. Names differ by case, as YouTube's are; extensions are not.
    """

    def __init__(self, root: str | PathLike[str], *, extensions: Sequence[str] = VIDEO_EXTENSIONS) -> None:
        self.root, self.extensions = Path(root), tuple(extensions)  # the preferred of equals first
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; name the folder of the videos (--videos)")

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """List every file with the extension of a video, the preferred one of equals first."""
        found = [Path(folder, name) for folder, _, names in walk(self.root) for name in names]
        videos = (path for path in found if path.suffix.lower() in self.extensions)
        return tuple(sorted(videos, key=lambda path: (self.extensions.index(path.suffix.lower()), path)))

    @cached_property
    def _by_path(self) -> dict[str, Path]:
        """Map paths from the root, without extension, to files."""
        known: dict[str, Path] = {}
        for path in self.paths:
            known.setdefault(path.relative_to(self.root).with_suffix("").as_posix(), path)
        return known

    @cached_property
    def _by_name(self) -> dict[str, Path]:
        """Map file names too, where no path from the root is the same."""
        known = dict(self._by_path)
        for path in self.paths:
            known.setdefault(path.stem, path)
        return known

    def find(self, row: CaptionedVideo) -> Path | None:
        """Return the file of a row, None without one: at the row's own path, else by name with another extension."""
        if (exact := self.root / row.video).is_file():
            return exact
        if (named := self._by_name.get(plain_name(row.video))) is not None:
            return named
        parts = PurePosixPath(row.video).parts
        for name in ("/".join(parts[first:]) for first in range(1, len(parts))):
            if (path := self.root / name).is_file():
                return path
            if (named := self._by_path.get(plain_name(name))) is not None:
                return named
        return None
