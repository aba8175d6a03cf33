"""The small world, in the forms that the regimes learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.small_worlds import write_world
from helpers.tars import image_tars, video_tars


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tars")
    image_tars(folder / "images")
    video_tars(folder / "videos")
    return folder
