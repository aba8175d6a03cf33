"""Captioned clips on disk, and the keys of what was recorded of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.corpora import write_clip

CAPTIONS = ["one", "two", "three"]


def write_captions(
    folder: Path, splits: dict[str, int], *, broken: Sequence[str] = (), absent: Sequence[str] = ()
) -> Path:
    """Videos `<split>0`, `<split>1`, ... with three captions each; split "" says nothing of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for split, count in splits.items():
        for number in range(count):
            name = f"{split or 'video'}{number}"
            lines.append({"video": name, "caption": CAPTIONS} | ({"split": split} if split else {}))
            if name in broken:
                (folder / f"{name}.mp4").write_bytes(b"no film")
            elif name not in absent:
                write_clip(folder / f"{name}.mp4", frames=2 + number % 4)
    path = folder / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def keys(batches: Sequence[dict[str, Any]]) -> list[str]:
    return [key for batch in batches for key in batch["keys"]]
