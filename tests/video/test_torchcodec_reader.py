"""torchcodec gives the same frames for the same times where it can decode, and says why where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.films import number_of, write_film

from pseudocap.errors import DecodeError, InputError
from pseudocap.video import torchcodec_reader
from pseudocap.video.decode import open_video

needed = pytest.mark.skipif(
    torchcodec_reader.why_unusable() is not None, reason="torchcodec is absent or finds no FFmpeg"
)


@needed
@pytest.mark.parametrize("name", ["film.mp4", "late.mkv"])
def test_both_decoders_show_the_same_frames(tmp_path: Path, name: str) -> None:
    film = write_film(tmp_path / name, stamps=[k + 9 for k in range(80)])
    times = [0.0, 0.03, 0.04, 1.5, 3.16, 3.5]
    with open_video(film) as ours, open_video(film, backend="torchcodec") as theirs:
        a, b = ours.frames_at(times), theirs.frames_at(times)
        assert theirs.info.duration == pytest.approx(ours.info.duration, abs=0.01)
    assert [number_of(pixels) for pixels in b.pixels] == [number_of(pixels) for pixels in a.pixels]
    np.testing.assert_allclose(a.times, b.times, atol=1e-6)


@needed
def test_its_failures_are_decode_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(DecodeError, match=r"empty\.mp4"):
        open_video(tmp_path / "empty.mp4", backend="torchcodec")


def test_where_it_cannot_decode_asking_for_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchcodec_reader, "why_unusable", lambda: "OSError: no libavcodec")
    with pytest.raises(InputError, match="no libavcodec"):
        open_video(write_film(tmp_path / "film.mp4", frames=2), backend="torchcodec")
