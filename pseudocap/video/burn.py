"""A preview of captions: the film, small, with what is said of it written below the picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pseudocap.errors import DecodeError, first_line
from pseudocap.files.atomic import unfinished
from pseudocap.types import TimedCaption

LINES = 360  # of the picture at most
LETTER = 16  # pixels
ROWS = 2  # of text


def burn(source: str | Path, target: str | Path, captions: Sequence[TimedCaption]) -> None:
    """Write `target` (mp4, H.264, without sound), whole or not at all. A still or a broken film is a DecodeError."""
    target = Path(target)
    try:
        with (
            unfinished(target) as scratch,
            av.open(str(source)) as film,
            av.open(str(scratch), "w", format="mp4") as preview,
        ):
            _copy(film, preview, captions)
    except (av.FFmpegError, IndexError) as error:
        raise DecodeError(str(source), f"no preview can be made of it: {first_line(error)}") from error


def _copy(
    film: av.container.InputContainer, preview: av.container.OutputContainer, said: Sequence[TimedCaption]
) -> None:
    shown = film.streams.video[0]
    shown.thread_type = "AUTO"
    lines = min(LINES, shown.height) // 2 * 2
    width = round(shown.width * lines / shown.height / 2) * 2
    drawn = preview.add_stream("libx264", rate=shown.average_rate or 25)
    drawn.pix_fmt, drawn.width, drawn.height = "yuv420p", width, lines + (ROWS * LETTER * 3 // 2) // 2 * 2
    drawn.time_base = drawn.codec_context.time_base = shown.time_base
    bands: dict[str, np.ndarray] = {}
    begin = None
    for frame in film.decode(shown):
        if frame.pts is None:
            continue
        begin = frame.time if begin is None else begin
        text = _at(said, frame.time - begin)
        if text not in bands:
            bands = {text: _band(text, width, drawn.height - lines)}  # the one that shows now
        picture = frame.to_ndarray(format="rgb24", width=width, height=lines)
        written = av.VideoFrame.from_ndarray(np.concatenate([picture, bands[text]]), format="rgb24")
        written.pts, written.time_base = frame.pts, frame.time_base
        preview.mux(drawn.encode(written))
    preview.mux(drawn.encode())


def _at(captions: Sequence[TimedCaption], time: float) -> str:
    return next((each.text for each in captions if each.start <= time < max(each.end, math.nextafter(0, 1))), "")


def _band(text: str, width: int, height: int) -> np.ndarray:
    """White letters on black, as many as fit."""
    band = Image.new("RGB", (width, height))
    lines = textwrap.wrap(text, max(8, int(width / (0.5 * LETTER))))
    if len(lines) > ROWS:
        lines = [*lines[: ROWS - 1], f"{lines[ROWS - 1]} ..."]
    font = ImageFont.load_default(LETTER)
    ImageDraw.Draw(band).multiline_text(
        (width // 2, height // 2), "\n".join(lines), font=font, anchor="mm", align="center"
    )
    return np.asarray(band)
