"""A small audited corpus in the real formats: films, the labels of their clips, what is said in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers.local_pages import running
from pseudocap.label.audit.judgement import AuditPair
from pseudocap.label.audit.server import AuditServer
from pseudocap.label.audit.store import AuditStore
from pseudocap.label.schema import shard_path, write_labels
from pseudocap.types import Clip, Pseudolabel
from pseudocap.video.writer import write_video

RATE = 10


def write_colours(path: Path, *, seconds: float, codec: str = "libx264") -> Path:
    """A film that is brighter in every frame, a key frame each second."""
    count = round(seconds * RATE)
    frames = (np.full((64, 96, 3), 40 + 180 * number // count, np.uint8) for number in range(count))
    write_video(path, frames, rate=RATE, codec=codec, options={"g": str(RATE)})
    return path


def label(source: str, start: float, end: float, caption: str, **more: object) -> Pseudolabel:
    values: dict[str, object] = {
        "clip": Clip(source=source, start=start, end=end),
        "captions": (caption,) if caption else (),
        "log_probs": (),
        "confidence": None,
        "frame_times": (),
        "teacher": "a test",
        "revision": None,
        "settings": "{}",
        "seed": 0,
    }
    return Pseudolabel(**{**values, **more})  # type: ignore[arg-type]


def write_corpus(folder: Path, *, films: int = 4, clips: int = 3, seconds: float = 2.0, suffix: str = ".mp4") -> None:
    """`videos/`, `labels/` (a shard for each film) and `caption.json`, in which every clip has its own words."""
    (folder / "videos").mkdir(parents=True)
    (folder / "labels").mkdir()
    speech = {}
    for film in range(films):
        name = f"film{film}{suffix}"
        codec = "mpeg4" if suffix == ".avi" else "libx264"
        write_colours(folder / "videos" / name, seconds=clips * seconds, codec=codec)
        spans = [(seconds * clip, seconds * (clip + 1)) for clip in range(clips)]
        rows = [label(name, start, end, f"caption of {film} at {start:g}") for start, end in spans]
        write_labels(shard_path(folder / "labels", film), rows, root=str(folder / "videos"))
        speech[f"film{film}"] = {
            "start": [start + 0.1 for start, _ in spans],
            "end": [end - 0.1 for _, end in spans],
            "text": [f"words of {film} at {start:g}" for start, _ in spans],
        }
    (folder / "caption.json").write_text(json.dumps(speech))


def some_pairs(count: int, *, source: str = "film.mp4") -> list[AuditPair]:
    return [
        AuditPair(id=f"{k:016x}", source=source, start=k, end=k + 1.0, pseudolabel=f"label {k}", asr=f"speech {k}")
        for k in range(count)
    ]


@contextmanager
def serving(folder: Path, pairs: Sequence[AuditPair], *, seed: int = 0) -> Iterator[AuditServer]:
    """A real server on a real port, its answers in `folder`."""
    store = AuditStore.create(folder / "audit.sqlite", seed=seed, pairs=pairs)
    with running(AuditServer(store, rater="anna", port=0)) as server:
        yield server
