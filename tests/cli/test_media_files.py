"""Which files a word of the command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.cli.media_files import media_files
from pseudocap.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.MP4", "a.mkv", "sub/c.jpg", "notes.txt", "[1].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ["[1].mp4", "a.mkv", "b.MP4", "sub/c.jpg"]),  # the folder itself
        ("*.m*", ["[1].mp4", "a.mkv"]),
        ("**/*.jpg", ["sub/c.jpg"]),
        ("[1].mp4", ["[1].mp4"]),  # a file goes before the pattern that its name would be
        ("notes.txt", ["notes.txt"]),  # what is named is tried
    ],
)
def test_a_folder_a_pattern_and_a_file_are_what_they_name(word: str, expected: list[str], folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in media_files(f"{folder}/{word}")]
    assert found == expected


def test_of_a_folder_sounds_stand_for_images_where_they_are_asked_for(folder: Path) -> None:
    (folder / "sub" / "d.opus").touch()
    found = [path.relative_to(folder).as_posix() for path in media_files(str(folder), sounds=True)]
    assert found == ["[1].mp4", "a.mkv", "b.MP4", "sub/d.opus"]


def test_an_empty_word_is_not_the_folder_that_one_is_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for word in ("", " "):
        with pytest.raises(InputError, match="is no name of a file"):
            media_files(word)
    assert len(media_files(".")) == 4


def test_what_names_nothing_is_refused(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="the folder holds no video and no image"):
        media_files(str(folder / "empty"))
    for word in ("gone.mp4", "*.avi", "su*"):
        with pytest.raises(InputError, match="there is no such file, folder or pattern"):
            media_files(str(folder / word))
