"""Photographs as cameras write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from pseudocap.errors import DecodeError
from pseudocap.video.decode import open_video, probe


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_with_exif_stands_upright(orientation: int, tmp_path: Path) -> None:
    """Every phone writes EXIF; PyAV has no name for that data of a frame."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255, 0, 0
    pixels[24:, 32:] = 0, 0, 255
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "a phone's picture"
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path, quality=95, subsampling=0, exif=exif)
    with open_video(path) as video:
        seen = video.frames_evenly(1).pixels[0]
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright.astype(int)).mean() < 4


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("a.jpg", b"\xff\xd8\xff\xe0no jpeg" * 20, "JPEG"), ("b.jpg", b"<!DOCTYPE html>", "JPEG"), ("c.png", b"", "PNG")],
)
def test_a_damaged_picture_is_named_as_such(name: str, content: bytes, kind: str, tmp_path: Path) -> None:
    if kind == "PNG":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()[:40]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        probe(tmp_path / name)
    reason = "Invalid data found when processing input"
    assert str(caught.value) == (
        f"{tmp_path / name}: the picture is damaged, or is no {kind} ({reason}): save or fetch it again"
    )
