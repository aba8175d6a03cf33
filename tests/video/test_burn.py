"""A preview has the film's frames at their times, and its captions below while they last."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.films import full_decode, write_film

from pseudocap.errors import DecodeError
from pseudocap.types import TimedCaption
from pseudocap.video.burn import LINES, burn


def test_a_caption_stands_below_the_picture_while_it_lasts(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", frames=50, size=(640, 480))
    burn(film, tmp_path / "preview.mp4", [TimedCaption(start=0.5, end=1.0, text="a dog runs")])
    before, after = full_decode(film), full_decode(tmp_path / "preview.mp4")
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-3)
    for time, pixels in after:
        assert pixels.shape[0] > LINES
        assert pixels.shape[1] == 640 * LINES // 480
        written = pixels[LINES + 2 :].max() > 128
        assert written == (0.5 <= time < 1.0)


@pytest.mark.parametrize("content", [b"no film", b""])
def test_what_is_no_film_has_no_preview(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(DecodeError, match="no preview can be made of it"):
        burn(tmp_path / "film.mp4", tmp_path / "preview.mp4", ())
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
