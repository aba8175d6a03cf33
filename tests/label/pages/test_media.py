"""What a browser gets of a video: its bytes, ranges of them, a frame."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from helpers.audits import write_colours

from pseudocap.label.pages.media import centre_jpeg, locate_media, opened, read_media, wanted_range


def test_a_video_in_a_tar_is_the_bytes_that_were_put_there(tmp_path: Path) -> None:
    film = write_colours(tmp_path / "film.mp4", seconds=1)
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        tar.add(__file__, "000000000.txt")
        tar.add(film, "000000001.mp4")
    media = locate_media(str(tmp_path / "00000.tar" / "000000001.mp4"))
    assert b"".join(read_media(media, range(media.size))) == film.read_bytes()
    assert b"".join(read_media(media, range(10, 20))) == film.read_bytes()[10:20]
    with opened(media) as copy:
        assert copy.read_bytes() == film.read_bytes()
    assert not copy.exists()
    inside, beside = str(tmp_path / "00000.tar" / "000000001.mp4"), str(film)
    assert centre_jpeg(inside, 0, 1) == centre_jpeg(beside, 0, 1)
    assert locate_media(str(tmp_path / "00000.tar" / "2.mp4")) is None
    assert locate_media("s3://bucket/film.mp4") is None


def test_a_clip_without_an_end_is_all_of_its_file(tmp_path: Path) -> None:
    film = str(write_colours(tmp_path / "film.mp4", seconds=2))
    assert centre_jpeg(film, 0, None) == centre_jpeg(film, 0, 2) != centre_jpeg(film, 0, 1)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, range(100)),
        ("bytes=0-", range(100)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=90-500", range(90, 100)),
        ("bytes=-30", range(70, 100)),
        ("bytes=-300", range(100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=20-10", range(100)),  # not valid, and so ignored
        ("bytes=1-2,5-6", range(100)),  # several ranges may be ignored
        ("lines=1-2", range(100)),
    ],
)
def test_ranges_are_read_as_the_standard_has_them(header: str | None, wanted: range | None) -> None:
    assert wanted_range(header, 100) == wanted
