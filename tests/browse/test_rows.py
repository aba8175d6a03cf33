"""Labels and captions as rows: every one of them, under names that stay, with the file that it is about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.audits import label, write_colours, write_corpus

from pseudocap.browse.rows import labels_with_ids, read_browse_rows
from pseudocap.errors import DataError
from pseudocap.label.schema import identity, shard_path, write_labels


def test_every_label_is_a_row_also_those_that_failed_or_that_filters_refused(tmp_path: Path) -> None:
    labels = [
        label("a.mp4", 0, 8, "a dog", confidence=0.25, language="en", run="r"),
        label("a.mp4", 8, 16, "cat", verdicts=("short",)),
        label("b.mp4", 0, 0, "", error="no film"),
    ]
    write_labels(shard_path(tmp_path, 0), labels, root="/films")
    rows = list(read_browse_rows(tmp_path))
    assert [(row.path, row.start, row.end, row.caption) for row in rows] == [
        ("/films/a.mp4", 0, 8, "a dog"),
        ("/films/a.mp4", 8, 16, "cat"),
        ("/films/b.mp4", None, None, ""),
    ]
    assert [(row.confidence, row.verdicts, row.error) for row in rows] == [
        (0.25, (), ""),
        (None, ("short",), ""),
        (None, (), "no film"),
    ]
    assert rows[0].rest == {"checkpoint": "a test", "run": "r", "language": "en"}
    moved = read_browse_rows(tmp_path / "000000.parquet", videos=Path("/moved"))
    assert next((row.id, row.path) for row in moved) == (rows[0].id, "/moved/a.mp4")


def test_several_labels_of_one_are_told_apart_in_their_order() -> None:
    twins = [label("a.mp4", 0, 8, text) for text in ("one", "two")]
    other = label("a.mp4", 8, 16, "three")
    ids = [row_id for row_id, _ in labels_with_ids([*twins, other])]
    assert ids == [identity(twins[0]), f"{identity(twins[0])}-2", identity(other)]


def test_caption_rows_are_found_with_their_files_and_all_that_they_say(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    film = write_colours(films / "a.mp4", seconds=1)
    (films / "b.jpg").touch()
    lines = [
        {"video": "a.mp4", "caption": ["a dog", "a cat"], "split": "val"},
        {"video": "elsewhere/a", "start": 0, "end": 0.5, "caption": "a dog", "confidence": 0.5, "mood": "glad"},
        {"image": "b.jpg", "caption": "a picture", "verdicts": ["short"]},
        {"video": "c.mp4", "error": "c.mp4: broken"},
        {"file": "a.mp4", "captions": [{"start": 0, "end": 1, "text": "a dog runs"}]},
        {"video": "a.mp4", "caption": "a dog", "split": "val"},
    ]
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = list(read_browse_rows(path, videos=films))
    assert [row.caption for row in rows] == ["a dog", "a cat", "a dog", "a picture", "", "a dog runs", "a dog"]
    assert [Path(row.path).name for row in rows] == ["a.mp4"] * 3 + ["b.jpg", "c.mp4"] + ["a.mp4"] * 2
    assert {row.path for row in rows if row.video != "c.mp4"} == {str(film), str(films / "b.jpg")}
    assert [row.still for row in rows] == [False] * 3 + [True] + [False] * 3
    assert (rows[1].rest, rows[2].rest, rows[2].confidence) == ({"split": "val"}, {"mood": "glad"}, 0.5)
    assert (rows[3].verdicts, rows[4].error) == (("short",), "c.mp4: broken")
    assert (rows[5].start, rows[5].rest) == (None, {"checkpoint": "unknown"})
    assert rows[6].id == f"{rows[0].id}-2"
    assert len({row.id for row in rows}) == 7


def test_a_file_is_looked_for_below_the_folder_then_where_the_row_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("films", "kept"):
        (tmp_path / folder).mkdir()
    (tmp_path / "films" / "a.mp4").touch()
    (tmp_path / "kept" / "captions.jsonl").write_text('{"video": "films/a.mp4", "caption": "a dog"}\n')
    (row,) = read_browse_rows(Path("kept/captions.jsonl"))
    assert Path(row.path).resolve() == tmp_path / "films" / "a.mp4"
    (tmp_path / "kept" / "films").mkdir()
    (tmp_path / "kept" / "films" / "a.mp4").touch()
    (row,) = read_browse_rows(Path("kept/captions.jsonl"))
    assert Path(row.path).resolve() == tmp_path / "kept" / "films" / "a.mp4"


def test_a_folder_of_videos_with_texts_has_a_row_for_each_line(tmp_path: Path) -> None:
    write_colours(tmp_path / "a.mp4", seconds=1)
    (tmp_path / "a.txt").write_text("a dog\na cat\n")
    assert [(row.video, row.caption) for row in read_browse_rows(tmp_path)] == [("a.mp4", "a dog"), ("a.mp4", "a cat")]


def test_a_table_of_captions_is_read_as_such(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    write_corpus(tmp_path, films=1, clips=1)
    table = tmp_path / "captions.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{"video": "videos/film0.mp4", "caption": "a dog"}]), table)
    (row,) = read_browse_rows(table)
    assert (row.caption, row.path) == ("a dog", str(tmp_path / "videos" / "film0.mp4"))


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"video": "a.mp4", "caption": "a dog"}\n{"video": "b.mp4"}\n')
    with pytest.raises(DataError, match=r"captions\.jsonl, line 2 \(b\.mp4\)"):
        list(read_browse_rows(tmp_path / "captions.jsonl"))
