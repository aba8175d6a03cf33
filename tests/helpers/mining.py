"""Films and photographs of plain colours, and an encoder whose vector of a picture is its colour.

`python tests/helpers/mining.py FILMS PHOTOS OUT WORKERS [ADDRESS]` mines by it, with an address on that Ray cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.colour_retriever import COLOURS, write_colours
from pseudocap.label.schema import read_rows
from pseudocap.label.sources import find_sources
from pseudocap.mine.features import unit_vectors
from pseudocap.mine.on_ray import RayMining
from pseudocap.mine.pipeline import MiningResult, mine
from pseudocap.mine.seeds import find_seeds
from pseudocap.mine.shard import MineSpec
from pseudocap.mine.spans import Spans
from pseudocap.types import Pseudolabel

SHORT = MineSpec(threshold=0.9, spans=Spans(span=2.0, longest=6.0), shard_size=1)


class ColourEmbedder:
    """Mean colour as a direction from grey."""

    size = 32

    def __init__(self, name: str = "colours") -> None:
        self.settings: Mapping[str, object] = {"encoder": name, "fingerprint": f"{name}-1"}
        self.embedded = 0

    def to(self, device: str) -> object:
        return self

    def embed(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        self.embedded += len(pictures)
        if not pictures:
            return np.zeros((0, 3), np.float32)
        return unit_vectors(np.stack([picture.mean(axis=(0, 1)) - 100.5 for picture in pictures]), "colours")


def write_photos(folder: Path, **captions: str) -> Path:
    """A photograph of each colour with a caption a line, such as red="a red car|red"."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour, texts in captions.items():
        Image.fromarray(np.full((40, 60, 3), COLOURS[colour], np.uint8)).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(texts.replace("|", "\n"))
    return folder


def write_films(folder: Path, **films: str) -> Path:
    """Films of colours, 4 s each, such as a="red blue"."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, colours in films.items():
        write_colours(folder / f"{name}.mp4", *colours.split(), seconds=4.0)
    return folder


def mined(films: Path, photos: Path, out: Path, spec: MineSpec = SHORT, **options: object) -> MiningResult:
    options = {"workers": 0, "max_failure_rate": 1.0, "embedder": ColourEmbedder(), **options}
    embedder = options.pop("embedder")
    sources = find_sources(str(films), shard_size=spec.shard_size)
    return mine(sources, find_seeds(str(photos)), embedder, out, spec, **options)  # type: ignore[arg-type]


def rows(folder: Path) -> list[Pseudolabel]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in read_rows(path)]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that a run leaves."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


if __name__ == "__main__":
    films, photos, out, workers, *address = sys.argv[1:]
    with nullcontext() if not address else RayMining(address=address[0], gpus=0.0, workers=1) as engine:
        mined(Path(films), Path(photos), Path(out), workers=int(workers), engine=engine)
