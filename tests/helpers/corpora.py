"""Small corpora in the real formats, written by the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pseudocap.video.writer import write_video

SMALL = {"train": 3, "val": 1, "test": 2}


def msrvtt_tables(
    splits: Mapping[str, Sequence[str]], *, captions: int = 20, val: str = "validate"
) -> dict[str, list[dict[str, Any]]]:
    """Both tables of MSR-VTT for these ids by split."""
    names = [(name, val if split == "val" else split) for split, ids in splits.items() for name in ids]
    videos = [
        {"id": row, "video_id": name, "split": split, "category": row % 20, "url": "https://youtube.com/watch?v=x"}
        | {"start time": 137.72, "end time": 149.44}
        for row, (name, split) in enumerate(names)
    ]
    sentences = [
        {"sen_id": row * captions + k, "video_id": name, "caption": f"caption {k} of {name}"}
        for row, (name, _) in enumerate(names)
        for k in range(captions)
    ]
    return {"videos": videos, "sentences": sentences}


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def small_ids() -> dict[str, list[str]]:
    """video0 to video5, three to train, one to validate, two to test."""
    ids = iter(f"video{row}" for row in range(sum(SMALL.values())))
    return {split: [next(ids) for _ in range(size)] for split, size in SMALL.items()}


def msvd_clips(count: int) -> list[str]:
    """Names as MSVD's, in the order of the alphabet."""
    return [f"-{row:010d}_{row % 90}_{row % 90 + 5}" for row in range(count)]


def write_clip(path: Path, *, frames: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (np.full((32, 32, 3), 40 * row, np.uint8) for row in range(frames))
    write_video(path, pictures, rate=5, codec="mpeg4")
    return path
