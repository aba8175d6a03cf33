"""Small films to label, and how the tests label them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pseudocap.label.framing import Framing
from pseudocap.label.pipeline import Labelled, label
from pseudocap.label.schema import read_rows
from pseudocap.label.shard import LabelSpec
from pseudocap.label.sources import find_sources
from pseudocap.label.teachers.base import NullTeacher, Teacher
from pseudocap.types import Pseudolabel
from pseudocap.video.writer import write_video

SHORT = Framing(clip_seconds=2.0, min_seconds=1.0, short_side=32)


def write_film(path: Path, *, frames: int, seed: int = 0, rate: int = 5) -> Path:
    """Noise that changes its colour with every frame; its brightness tells the frame's number."""
    rng = np.random.default_rng(seed)
    frames = (
        (rng.integers(0, 256, (12, 16, 3)).repeat(4, 0).repeat(4, 1) * 0.5 + 2 * (number % 60)).astype(np.uint8)
        for number in range(frames)
    )
    write_video(path, frames, rate=rate, codec="mpeg4" if path.suffix == ".avi" else "libx264")
    return path


def run(
    source: Path, out: Path, spec: LabelSpec | None = None, teacher: Teacher | None = None, **options: object
) -> Labelled:
    spec = spec or LabelSpec(framing=SHORT, shard_size=2)
    sources = find_sources(str(source), shard_size=spec.shard_size)
    options = {"max_failure_rate": 1.0, **options}
    return label(sources, teacher or NullTeacher(short_side=32), out, spec, **options)  # type: ignore[arg-type]


def rows(folder: Path) -> list[Pseudolabel]:
    """Every label as it is stored."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in read_rows(path)]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that a run leaves for others."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
