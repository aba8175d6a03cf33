"""A small world of films that differ in what is heard alone, in files that the readers know."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.sounding import Track, write_sounding

TRACKS = {  # what stands in the captions, and the track that sounds so
    "a long tone": Track(end=1.0),
    "a late tone": Track(start=0.6, end=1.0),
    "a short tone": Track(end=0.4),
    "nothing": None,
}


def write_sounding_world(folder: Path, *, takes: int = 2) -> Path:
    """Films of a second with one track each or none, as captions.jsonl; the last take validates."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for take in range(takes):
        for number, (heard, track) in enumerate(TRACKS.items()):
            name = f"film{number}-{take}.mp4"
            write_sounding(folder / name, *([track] if track else []), seconds=1.0)
            split = "val" if take == takes - 1 else "train"
            rows.append({"video": name, "caption": [f"one hears {heard}", f"there is {heard}"], "split": split})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder
