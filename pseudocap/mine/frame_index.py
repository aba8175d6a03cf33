"""Store the vectors of frames, a file for each shard of videos, so that other seeds or settings need no video again.

index.json      which encoder made them, of which frames; written first
000000.npz      the videos and the vectors of a shard
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pseudocap.errors import DataError, first_line
from pseudocap.files.remote import AnyPath, write_atomic
from pseudocap.label.work import Work

FORMAT = 1
MANIFEST = "index.json"


@dataclass(kw_only=True, slots=True)
class Films:
    """List the videos of a shard in their order: names, seconds, and the problem of each, with the stretch it is of.
    `left_out` are those that the filters exclude, with the reason."""

    names: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lost: list[tuple[float, float]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> int:
        """Begin a video, and return its number."""
        self.names.append(name)
        self.seconds.append(0.0)
        self.problems.append("")
        self.lost.append((0.0, 0.0))
        return len(self.names) - 1

    def arrays(self) -> dict[str, np.ndarray]:
        document = {name: getattr(self, name) for name in Films.__slots__}
        return {"films": json_array(document)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Films:
        document = read_json_array(arrays["films"])
        return cls(**{**document, "lost": [tuple(each) for each in document["lost"]]})


def json_array(document: object) -> np.ndarray:
    """Return what JSON holds as an array, to lie in a file of arrays."""
    return np.frombuffer(json.dumps(document).encode(), np.uint8)


def read_json_array(array: np.ndarray) -> Any:
    return json.loads(bytes(array))


def write_arrays(path: AnyPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as one file, all of it or nothing."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_atomic(path, file.getvalue())


def read_arrays(path: AnyPath) -> dict[str, np.ndarray]:
    """Read arrays; DataError where the file is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({first_line(error)}); remove it, and run again") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameIndex:
    """Hold the vectors of the frames of shards of videos in a folder; `settings` is all that they depend on."""

    folder: AnyPath
    settings: Mapping[str, object]

    def settle(self) -> None:
        """Begin the index, or require that it is one of the same settings."""
        now = json.loads(json.dumps(dict(self.settings)))
        before = read_settings(self.folder)
        if before is None:
            document = json.dumps({"format": FORMAT, "settings": now}, indent=1, sort_keys=True)
            write_atomic(self.folder / MANIFEST, document.encode())
            return
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise DataError(
                    f"{self.folder} is an index of frames with {name} {before.get(name)!r}, and this run has "
                    f"{now.get(name)!r}; choose another --frame-index, or the same encoder and settings"
                )

    def read(self, work: Work) -> tuple[Films, dict[str, np.ndarray]] | None:
        """Return the videos and the frames of a shard; None where they are not there, or of other sources."""
        path = self._path(work.number)
        if not path.exists():
            return None
        arrays = read_arrays(path)
        stored = read_json_array(arrays.pop("shard"))
        films = Films.of({"films": arrays.pop("films")})
        return (films, arrays) if stored == _sources(work) else None

    def write(self, work: Work, films: Films, frames: Mapping[str, np.ndarray]) -> None:
        write_arrays(self._path(work.number), {**films.arrays(), **frames, "shard": json_array(_sources(work))})

    def _path(self, number: int) -> AnyPath:
        return self.folder / f"{number:06d}.npz"


def read_settings(folder: AnyPath) -> dict[str, Any] | None:
    """Return the settings of an index; None where none has begun."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        found, settings = document["format"], dict(document["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({first_line(error)}); choose another --frame-index") from error
    if found != FORMAT:
        raise DataError(f"{path} has format {found}, not {FORMAT}; choose another --frame-index")
    return settings


def _sources(work: Work) -> dict[str, Any]:
    """Return what identifies the videos of a shard: names alone are relative to the root."""
    return {"root": work.root, "names": list(work.names)}
