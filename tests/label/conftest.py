"""Films and a tiny captioner, written once per run."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from label_worlds import write_film

from pseudocap.label.teachers import Decoding, ImageTextTeacher
from pseudocap.zoo.tiny import write_blip


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films of 3 to 11 clips of 2 s, one of them in a folder of its own, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "more").mkdir()
    for seed, (name, frames) in enumerate((("a.mp4", 110), ("b.mkv", 36), ("c.avi", 40), ("more/d.mp4", 63))):
        write_film(folder / name, frames=frames, seed=seed)
    (folder / "broken.mp4").write_text("no film")
    return folder


@pytest.fixture(scope="session")
def film_tar(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tars") / "00000.tar"
    with tarfile.open(path, "w") as archive:
        for key, name in (("000000000", "a.mp4"), ("000000001", "more/d.mp4")):
            archive.add(films / name, f"{key}.mp4")
    return path


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "blip"
    write_blip(folder)
    return folder


@pytest.fixture(scope="session")
def blip(blip_folder: Path) -> ImageTextTeacher:
    return ImageTextTeacher(str(blip_folder), decoding=Decoding(max_new_tokens=12))
