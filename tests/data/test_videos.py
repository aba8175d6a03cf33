"""Files of the videos that a corpus names, wherever and in whatever format they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.data.videos import VideoFolder, plain_name, refuse_absent
from pseudocap.errors import DataError
from pseudocap.tolerance import Tolerance
from pseudocap.types import CaptionedVideo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mkv", "a.mp4", "sub/b.WEBM", "sub/a.avi", "deep/er/c.mp4", "d.txt", "aBc.mp4", "Abc.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ("a.mkv", "a.mkv"),  # exactly
        ("a", "a.mp4"),  # the preferred extension
        ("a.webm", "a.mp4"),
        ("sub/a", "sub/a.avi"),
        ("b.mp4", "sub/b.WEBM"),  # by its name alone
        ("elsewhere/sub/a.mp4", "sub/a.avi"),  # a path that leads here
        ("films/a.mp4", "a.mp4"),
        ("films/c.mp4", None),  # by its name alone only where no folder is named
        ("aBc", "aBc.mp4"),
        ("Abc", "Abc.mp4"),
        ("d", None),
        ("gone.mp4", None),
    ],
)
def test_a_row_finds_its_file_by_path_by_name_or_by_the_end_of_its_path(
    video: str, expected: str | None, folder: Path
) -> None:
    found = VideoFolder(folder).find(CaptionedVideo(id="x", video=video, captions=(), split=""))
    assert found == (None if expected is None else folder / expected)


def test_a_dot_in_a_name_is_no_extension() -> None:
    assert [plain_name(name) for name in ("a/b.mp4", "b.MKV", "take 1.5", "b.txt")] == ["a/b", "b", "take 1.5", "b.txt"]


def test_too_many_absent_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder; name the folder of the videos"):
        VideoFolder(tmp_path / "gone")
    few = Tolerance(0.5, least=1, option="--max-missing")
    refuse_absent(["a"], 4, tmp_path, few)
    with pytest.raises(DataError, match=r"a, b, c, \.\.\).*pseudocap data verify"):
        refuse_absent(["a", "b", "c", "d"], 4, tmp_path, few)
