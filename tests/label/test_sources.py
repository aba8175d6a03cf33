"""What SOURCE may be, and the plan that it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.label_worlds import rows, run

from pseudocap.errors import DataError
from pseudocap.label.sources import extend, find_sources


def test_a_folder_gives_its_films_in_the_order_of_their_names(films: Path) -> None:
    found = find_sources(str(films), shard_size=2)
    assert found.shards == (("a.mp4", "b.mkv"), ("broken.mp4", "c.avi"), ("more/d.mp4",))
    assert found.root == str(films)


def test_tars_are_shards_of_their_own(film_tar: Path) -> None:
    assert find_sources(str(film_tar.parent)).shards == (("00000.tar",),)
    assert find_sources(str(film_tar)).shards == (("00000.tar",),)


def test_a_list_is_relative_to_itself(films: Path, tmp_path: Path) -> None:
    (films / "list.txt").write_text("more/d.mp4\n\na.mp4\n")
    found = find_sources(str(films / "list.txt"))
    (films / "list.txt").unlink()
    assert found.shards == ((str(films / "more" / "d.mp4"), str(films / "a.mp4")),)


@pytest.mark.parametrize(("text", "words"), [("", "lists nothing"), ("a.mp4\nb.mp4\na.mp4\n", "lists a.mp4 twice")])
def test_lists_that_cannot_be_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        find_sources(str(tmp_path / "list.txt"))


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        find_sources(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="holds no video"):
        find_sources(str(tmp_path))
    with pytest.raises(DataError, match="cannot be reached"):
        find_sources("nosuch://bucket/films")


def test_new_files_come_after_what_was_planned(films: Path) -> None:
    planned = find_sources(str(films / "more"), shard_size=1)
    found = find_sources(str(films), shard_size=1)
    both = extend(planned, found, shard_size=3)
    assert both.shards[:1] == planned.shards
    assert both.names == planned.names | found.names
    assert extend(both, found, shard_size=3) == both


def test_an_address_is_labelled_as_the_files_behind_it(films: Path, film_tar: Path, tmp_path: Path) -> None:
    run(films / "more", tmp_path / "files")
    run_address = f"file://{films / 'more'}"
    run(run_address, tmp_path / "address")  # type: ignore[arg-type]
    here, there = rows(tmp_path / "files"), rows(tmp_path / "address")
    assert [label.frame_times for label in here] == [label.frame_times for label in there]
    assert {label.clip.source for label in there} == {f"{run_address}/d.mp4"}
    run(f"file://{film_tar}", tmp_path / "tar")  # type: ignore[arg-type]
    assert len(rows(tmp_path / "tar")) == 17
    assert not list(tmp_path.glob("*/.fetched"))
