"""What a page gets of a file: itself where browsers play it, else a copy that they do."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.colour_retriever import write_colours
from PIL import Image

from pseudocap.errors import DecodeError
from pseudocap.toyworld.film import encode
from pseudocap.video import playable as module
from pseudocap.video.decode import open_video
from pseudocap.video.playable import playable


@pytest.fixture
def film(tmp_path: Path) -> Path:
    encode(tmp_path / "film.mp4", list(np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)))
    return tmp_path / "film.mp4"


def test_a_small_film_that_browsers_play_stays_as_it_is(film: Path) -> None:
    found = playable(film)
    assert (found.media_type, found.data) == ("video/mp4", film.read_bytes())


def test_a_large_or_foreign_film_becomes_a_short_one(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film.rename(tmp_path / "film.mkv")
    monkeypatch.setattr(module, "SECONDS", 1)
    found = playable(tmp_path / "film.mkv")
    with av.open(io.BytesIO(found.data)) as copy:
        stream = copy.streams.video[0]
        assert (stream.codec_context.name, found.media_type) == ("h264", "video/mp4")
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0, abs=0.1)
        assert max(stream.width, stream.height) <= 320


def test_a_still_becomes_a_picture_and_no_film_is_an_error(tmp_path: Path) -> None:
    Image.new("RGB", (50, 31), "teal").save(tmp_path / "still.png")
    found = playable(tmp_path / "still.png")
    assert found.media_type == "image/jpeg"
    with Image.open(io.BytesIO(found.data)) as picture:
        assert picture.size[0] > picture.size[1]
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DecodeError):
        playable(tmp_path / "text.mp4")


def test_a_stretch_of_a_film_becomes_a_film_of_that_stretch(tmp_path: Path) -> None:
    film = write_colours(tmp_path / "film.mp4", "red", "green", "blue")
    (tmp_path / "stretch.mp4").write_bytes(playable(film, start=2.0, end=4.0).data)
    with open_video(tmp_path / "stretch.mp4") as video:
        assert video.info.duration == pytest.approx(2.0, abs=0.15)
        means = video.frames_evenly(4).pixels.mean(axis=(1, 2))
    assert (means.argmax(axis=1) == 1).all()  # green throughout
