"""Write a preview of captions: the film, small, with its captions below the picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pseudocap.errors import DecodeError, InputError, first_line
from pseudocap.files.atomic import unfinished
from pseudocap.types import TimedCaption
from pseudocap.video.writer import write_video

LINES = 360  # of the picture at most
LETTER = 16  # pixels
ROWS = 2  # of text


def burn(source: str | Path, target: str | Path, captions: Sequence[TimedCaption]) -> None:
    """Write `target` (mp4, H.264, without sound), complete or not at all. A still or a broken film is a DecodeError."""
    target = Path(target)
    try:
        with unfinished(target) as scratch, av.open(str(source)) as film:
            picture = film.streams.video[0]
            picture.thread_type = "AUTO"

            def prepare(stream: av.VideoStream) -> None:
                stream.time_base = stream.codec_context.time_base = picture.time_base

            write_video(
                scratch,
                _frames(film, picture, captions),
                rate=picture.average_rate or 25,
                container_format="mp4",
                prepare=prepare,
            )
    except (av.FFmpegError, IndexError, InputError) as error:
        raise DecodeError(str(source), f"no preview can be made of it: {first_line(error)}") from error


def _frames(
    film: av.container.InputContainer, picture: av.VideoStream, captions: Sequence[TimedCaption]
) -> Iterator[av.VideoFrame]:
    """Yield the frames at their own times, each with its caption below."""
    lines = min(LINES, picture.height) // 2 * 2
    width = round(picture.width * lines / picture.height / 2) * 2
    below = (ROWS * LETTER * 3 // 2) // 2 * 2
    bands: dict[str, np.ndarray] = {}
    begin = None
    for frame in film.decode(picture):
        if frame.pts is None:
            continue
        begin = frame.time if begin is None else begin
        text = _at(captions, frame.time - begin)
        if text not in bands:
            bands = {text: _band(text, width, below)}  # the current one alone
        pixels = frame.to_ndarray(format="rgb24", width=width, height=lines)
        written = av.VideoFrame.from_ndarray(np.concatenate([pixels, bands[text]]), format="rgb24")
        written.pts, written.time_base = frame.pts, frame.time_base
        yield written


def _at(captions: Sequence[TimedCaption], time: float) -> str:
    return next((each.text for each in captions if each.start <= time < max(each.end, math.nextafter(0, 1))), "")


def _band(text: str, width: int, height: int) -> np.ndarray:
    """Draw white letters on black, as many as fit."""
    band = Image.new("RGB", (width, height))
    lines = textwrap.wrap(text, max(8, int(width / (0.5 * LETTER))))
    if len(lines) > ROWS:
        lines = [*lines[: ROWS - 1], f"{lines[ROWS - 1]} ..."]
    font = ImageFont.load_default(LETTER)
    ImageDraw.Draw(band).multiline_text(
        (width // 2, height // 2), "\n".join(lines), font=font, anchor="mm", align="center"
    )
    return np.asarray(band)
