"""Tars of images and of videos, as img2dataset and video2dataset write them, small and told apart by their pixels."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.corpora import write_clip
from pseudocap.types import Preprocess

SMALL = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), frames=2)
Member = tuple[str, bytes]


def write_tar(path: Path, members: Sequence[Member], *, tar_format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def image_bytes(number: int) -> bytes:
    """A picture of one colour with a bright corner, so that crops of it differ."""
    pixels = np.full((24, 24, 3), number % 200, np.uint8)
    pixels[:12, :12] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_tars(folder: Path, *, tars: int = 3, each: int = 4, broken: Sequence[int] = ()) -> Path:
    """Samples "0", "1", ...; those in `broken` are no pictures."""
    for tar in range(tars):
        members: list[Member] = []
        for number in range(tar * each, (tar + 1) * each):
            media = b"no picture" if number in broken else image_bytes(number)
            members += [
                (f"{number}.png", media),
                (f"{number}.txt", f"picture {number}".encode()),
                (f"{number}.json", b"{}"),
            ]
        write_tar(folder / f"{tar:05d}.tar", members)
    return folder


def video_tars(folder: Path, *, tars: int = 2, each: int = 3) -> Path:
    clip = write_clip(folder / "clip.mp4").read_bytes()
    for tar in range(tars):
        members: list[Member] = []
        for number in range(tar * each, (tar + 1) * each):
            members += [(f"v{number}.mp4", clip), (f"v{number}.txt", f"film {number}".encode())]
        write_tar(folder / f"{tar:05d}.tar", members)
    (folder / "clip.mp4").unlink()
    return folder
