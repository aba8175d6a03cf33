"""Convert a decoded picture to upright RGB, and that to a JPEG; decode an image file.

The conversion is swscale's, with the matrix and range that the file is tagged with (BT.601 where it has
none), to 8 bits a channel. HDR (PQ, HLG) is converted plainly, without tone mapping, so it looks flat;
pixels are returned as coded, a pixel aspect ratio is not applied.
"""

from __future__ import annotations

import io
import math

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps, UnidentifiedImageError

from pseudocap.errors import DataError, first_line


class Picture:
    """Convert all frames of a stream to the size and rotation of its first.

    A stream that changes its size midway is scaled to its first. `short_side` scales while converting, which
    is cheaper than resizing afterwards and gives slightly different pixels.
    """

    def __init__(self, first: av.VideoFrame, short_side: int | None) -> None:
        self._reformatter = VideoReformatter()
        self._coded = _scaled(first.width, first.height, short_side)
        self._transposed, self._flip_x, self._flip_y = _orientation(first)

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height after rotation."""
        width, height = self._coded
        return (height, width) if self._transposed else (width, height)

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Return the frame as uint8 [H,W,3]."""
        width, height = self._coded
        # One thread: a frame of this size is converted faster than threads are woken.
        converted = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        pixels = converted.to_ndarray()
        if self._transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self._flip_x:
            pixels = pixels[:, ::-1]
        if self._flip_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def _scaled(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    if short_side is None:
        return width, height
    scale = short_side / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return transpose, flip in x, flip in y: the matrix [a b u; c d v; ..] sends (x, y) to (ax+cy, bx+dy)."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # a kind of data that PyAV has no name for, a photograph's EXIF: it still tells the rotation
        turn = math.radians(frame.rotation)
        a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    else:
        if matrix is None:
            return False, False, False
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):  # upright or upside down; other angles go to the nearest right one
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def jpeg(pixels: np.ndarray, *, quality: int = 90, sharp: bool = False) -> bytes:
    """Encode a picture, uint8 [H,W,3]; `sharp` keeps its colours at the full resolution."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0 if sharp else -1)
    return file.getvalue()


def decode_picture(media: bytes) -> np.ndarray:
    """Decode an image, upright, uint8 [H,W,3]; transparency is dropped."""
    try:
        with Image.open(io.BytesIO(media)) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"no image can be decoded: {first_line(error)}") from error
