"""Copies of real clips are found by the encoder that the package ships: the figures of docs/experiments.md (`-s`)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from pseudocap.cli.main import main
from pseudocap.data.memories.pooled import pooled_vectors
from pseudocap.data.memories.source import MemorySource
from pseudocap.label.near_duplicates import near_duplicates
from pseudocap.rows import row_line
from pseudocap.video.decode import open_video
from pseudocap.video.writer import write_video

COPIES, SECONDS = 20, 4.0


def copy(source: Path, target: Path, *, border: float, crf: int) -> None:
    """Encode the beginning of a clip anew, less a share of each side."""
    with open_video(source, threads=1, short_side=288) as video:
        frames = [
            frame.pixels for frame in itertools.takewhile(lambda frame: frame.time <= SECONDS, video.every_frame())
        ]
    height, width = frames[0].shape[:2]
    top, left = round(height * border), round(width * border)
    rows, columns = slice(top, top + (height - 2 * top) // 2 * 2), slice(left, left + (width - 2 * left) // 2 * 2)
    inner = (np.ascontiguousarray(frame[rows, columns]) for frame in frames)
    write_video(target, inner, rate=round(len(frames) / SECONDS), options={"preset": "veryfast", "crf": str(crf)})


@pytest.mark.slow
def test_copies_of_real_clips_are_found_and_different_clips_are_not(shared_data: Path, tmp_path: Path) -> None:
    films, rows, copies = tmp_path / "films", [], 0
    films.mkdir()
    for path in sorted((shared_data / "real_clips").glob("*.mp4")):
        (films / path.name).symlink_to(path)
        with open_video(path, threads=1) as video:
            seconds = video.info.duration
        rows.append((path.name, 0.0, min(SECONDS, seconds)))
        if copies < COPIES and seconds > SECONDS + 0.6:
            copies += 1
            rows.append((path.name, 0.5, SECONDS + 0.5))
            for name, border, crf in (("cropped", 0.05, 23), ("reencoded", 0.0, 38)):
                copy(path, films / f"{name}-{path.name}", border=border, crf=crf)
                rows.append((f"{name}-{path.name}", 0.0, SECONDS - 0.1))
    lines = (row_line(video=video, start=start, end=end, caption="a clip") for video, start, end in rows)
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    words = ("rows.jsonl", "--videos", "films", "--out", "memories", "--workers", "1", "--encoder")
    paths = (str(tmp_path / word) if number in (0, 2, 4) else word for number, word in enumerate(words))
    assert main(["encode", *paths, "real-photos"]) == 0
    source = MemorySource(tmp_path / "memories")
    keys = [row.key for row in source.rows]
    vectors = pooled_vectors(source, range(len(keys)))
    found = {}
    for threshold in (0.75, 0.8, 0.85, 0.9):
        of = near_duplicates(vectors, threshold)
        copied = {keys[row]: keys[number] for row, number in enumerate(of) if number >= 0}
        right = [key for key, other in copied.items() if _original(key) == _original(other)]
        kinds = [sum(_kind(key) == kind for key in right) for kind in ("reencoded", "cropped", "shifted")]
        found[threshold] = (kinds, len(copied) - len(right))
        print(f"{threshold}: re-encoded, cropped, shifted {kinds} of {copies} each; {len(copied) - len(right)} others")
    kinds, others = found[0.85]
    assert min(kinds[1:]) == copies
    assert others == 0


def _original(key: str) -> str:
    return key.partition("#")[0].removeprefix("cropped-").removeprefix("reencoded-")


def _kind(key: str) -> str:
    return "shifted" if "#0.500-" in key else key.partition("-")[0]
