"""A folder laid out as the real data is, with a few drawn pictures and films in it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from helpers.films import drawn, write_film
from pseudocap.video.picture import jpeg

CAPTIONS = ("A black dog runs in the snow .", "A dog is running", "two children play football", "A man climbs a rock")
LEAKED = "Two women are talking ."  # a training picture and a test picture both have it


def write_real_world(root: Path, *, pictures: int = 12, films: int = 2) -> Path:
    """Write `pictures` photographs, half of them to learn from, and films, with captions."""
    photographs, clips, text = root / "flickr8k", root / "real_clips", root / "coco_text"
    for folder in (photographs, clips, text, root / "msvd"):
        folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with tarfile.open(photographs / "00000.tar", "w") as tar:
        for number in range(pictures):
            content = jpeg(drawn(number, 96, 96))
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            split = "train" if number < pictures // 2 else ("dev", "test")[number % 2]
            captions = [*(CAPTIONS[(number + turn) % len(CAPTIONS)] + f" {number}" for turn in range(3)), LEAKED]
            rows.append({"image": f"{number}.jpg", "caption": captions, "split": split})
    write_lines(photographs / "captions.jsonl", rows)
    for number in range(films):
        write_film(clips / f"{number}.mp4", frames=60, pictures=10 + number)
    write_lines(clips / "captions.jsonl", [{"video": f"{n}.mp4", "caption": [f"A film {n} ."]} for n in range(films)])
    (text / "captions.txt").write_text("A kitchen with a table\nTwo women are talking\n")
    (root / "msvd" / "sents_train_lc_nopunc.txt").write_text("vid1\ta man plays a guitar\nvid1\ta film 0\n")
    return root


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
