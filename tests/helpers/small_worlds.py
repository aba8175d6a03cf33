"""A small world for training: films whose captions can be told from their pixels, in files that the readers know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pseudocap.types import Preprocess
from pseudocap.video.writer import write_video

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "white": (235, 235, 235)}
MOVES = {"left": -1, "right": 1}
PREPROCESS = Preprocess(size=16, frames=4)


def write_square(path: Path, colour: str, move: str, *, lane: int = 8, frames: int = 8) -> Path:
    """A square of a colour that moves to a side."""
    pixels = np.full((frames, 32, 32, 3), 60, np.uint8)
    for number in range(frames):
        along = round(number * 20 / (frames - 1))
        left = along if MOVES[move] > 0 else 20 - along
        pixels[number, lane : lane + 12, left : left + 12] = COLOURS[colour]
    write_video(path, pixels, rate=4, codec="mpeg4")
    return path


def write_world(folder: Path, *, takes: int = 1) -> Path:
    """Films of every colour and move with two captions each, as captions.jsonl; every fourth one validates."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for take in range(takes):
        for number, (colour, move) in enumerate((colour, move) for colour in COLOURS for move in MOVES):
            name = f"{colour}-{move}-{take}.mp4"
            write_square(folder / name, colour, move, lane=4 + 3 * take)
            captions = [f"a {colour} square moves {move}", f"the {colour} square goes {move}"]
            split = "val" if number % 4 == 3 else "train"
            rows.append({"video": name, "caption": captions, "split": split})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def write_questions(folder: Path, *, takes: int = 1) -> Path:
    """Questions about the films of `write_world`, as questions.jsonl: of which color, and which way."""
    rows = []
    for take in range(takes):
        for number, (colour, move) in enumerate((colour, move) for colour in COLOURS for move in MOVES):
            row = {"video": f"{colour}-{move}-{take}.mp4", "split": "val" if number % 4 == 3 else "train"}
            rows.append({**row, "question": "What color is the square?", "answer": colour, "kind": "color"})
            rows.append(
                {**row, "question": "which way does it move", "answer": [move, f"to the {move}"], "kind": "way"}
            )
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
