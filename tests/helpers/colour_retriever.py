"""A retriever that one can reckon with: a clip's vector is its colour, a text's that of the colours it names.

`python tests/helpers/colour_retriever.py OUT FILE...` indexes files by it, and prints the report.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from pseudocap.errors import InputError
from pseudocap.file_retriever import FileRetriever
from pseudocap.search.build import IndexReport, build_index
from pseudocap.video.reader import Frames
from pseudocap.video.writer import write_video

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "white": (220, 220, 220)}
RATE = 5


class ColourRetriever(FileRetriever[torch.Tensor]):
    """Mean colour as a direction from grey; `salt` makes another retriever of it, which may have no text tower."""

    def __init__(self, *, salt: str = "", reads: bool = True) -> None:
        self._salt, self._reads = salt, reads
        self.embedded = 0

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"colours {self._salt}".encode()).hexdigest()

    @property
    def dim(self) -> int:
        return 8

    @property
    def reads_text(self) -> bool:
        return self._reads

    def frames_of(self, num_frames: int | None) -> int:
        return num_frames or 2

    def prepare(self, frames: Frames) -> torch.Tensor:
        return torch.from_numpy(frames.pixels.mean(axis=(0, 1, 2)))

    def embed_clips(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        self.embedded += len(clips)
        return torch.stack([self._vector(clip) for clip in clips])

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        if not all(texts):
            raise InputError("a text is empty")
        named = [[COLOURS[word] for word in text.split() if word in COLOURS] or [(0, 0, 0)] for text in texts]
        return torch.stack([self._vector(torch.tensor(each, dtype=torch.float64).mean(0)) for each in named])

    def _vector(self, colour: torch.Tensor) -> torch.Tensor:
        padded = torch.cat([colour - 100.0, torch.full((self.dim - 3,), 1.0)])
        return (padded / padded.norm()).float()


def write_colours(path: Path, *colours: str, seconds: float = 2.0) -> Path:
    """A film that has each of these colours for some seconds."""
    frames = (
        np.full((32, 48, 3), COLOURS[colour], np.uint8) for colour in colours for _ in range(round(RATE * seconds))
    )
    write_video(path, frames, rate=RATE)
    return path


def index_colours(
    out: Path | str, files: Sequence[Path | str], retriever: ColourRetriever | None = None, **options: object
) -> IndexReport:
    """Index films of colours in clips of 2 s, in this process."""
    given: dict[str, object] = {
        "clip_seconds": 2.0,
        "workers": 0,
        "name": "colours",
        "below": [str(files[0]).rpartition("/")[0]],
    }
    return build_index(out, [str(file) for file in files], retriever or ColourRetriever(), **{**given, **options})  # type: ignore[arg-type]


if __name__ == "__main__":
    from pseudocap.search import build

    build.PATIENCE = 0.0  # each file is a transaction
    print(json.dumps(asdict(index_colours(sys.argv[1], sys.argv[2:]))))
