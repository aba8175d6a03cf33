"""Frames with a paragraph of text drawn into them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = ("the", "cells", "of", "tables", "are", "read", "from", "left", "to", "right", "and", "every", "row", "begins")


def with_paragraph(
    frame: np.ndarray, rng: np.random.Generator, *, share: float, size: int, box: str = ""
) -> np.ndarray:
    """Cover a share of a frame with lines of words, white, or black on a white `box`; without a box on the picture."""
    picture = Image.fromarray(frame)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    height, width = (round(side * share**0.5) for side in frame.shape[:2])
    top, left = (
        int(rng.integers(0, side - inner + 1)) for side, inner in zip(frame.shape[:2], (height, width), strict=True)
    )
    if box:
        draw.rectangle([left, top, left + width, top + height], fill=box)
    for y in range(top + 2, top + height - size, round(1.3 * size)):
        line = ""
        while draw.textlength(longer := f"{line} {rng.choice(WORDS)}", font=font) < width - 4:
            line = longer
        draw.text((left, y), line, font=font, fill="black" if box == "white" else "white")
    return np.asarray(picture)
