from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.files.atomic import try_to_write, unfinished, write_text


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("the old", encoding="utf-8")
    with unfinished(path) as scratch:
        scratch.write_text("the new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "the old"
    assert path.read_text(encoding="utf-8") == "the new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("contested", [False, True])
def test_after_an_error_what_stood_there_stands_and_nothing_lies_beside_it(tmp_path: Path, contested: bool) -> None:
    path = tmp_path / "figures.json"
    path.write_text("the old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path, contested)
    assert path.read_text(encoding="utf-8") == "the old"
    assert list(tmp_path.iterdir()) == [path]


def _interrupted(path: Path, contested: bool) -> None:
    with unfinished(path, contested=contested) as scratch:
        scratch.write_text("half of the n", encoding="utf-8")
        raise KeyboardInterrupt


def test_two_who_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    with unfinished(tmp_path / "one", contested=True) as scratch:
        assert scratch != tmp_path / ".one.part"
        scratch.touch()


def test_a_text_makes_its_folder_and_has_the_rights_of_other_files(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.md", "ä\n")
    (tmp_path / "plain").touch()
    assert (tmp_path / "new" / "a.md").read_text(encoding="utf-8") == "ä\n"
    assert (tmp_path / "new" / "a.md").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_where_nothing_can_be_written_the_error_is_the_writers(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), unfinished(tmp_path / "file" / "below") as scratch:
        scratch.write_text("no", encoding="utf-8")


def test_a_place_is_tried_without_a_trace_and_refused_before_there_is_anything_to_lose(tmp_path: Path) -> None:
    path = tmp_path / "said" / "captions.jsonl"
    try_to_write(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("the old")
    try_to_write(path)
    assert path.read_text() == "the old"
    with pytest.raises(OSError, match="captions"):
        try_to_write(path / "below a file")
