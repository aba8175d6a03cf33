"""Caption rows where labels are read: audited and packed like what a teacher wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.label_worlds import run, write_film

from pseudocap.cli.main import main
from pseudocap.data.tars.samples import read_shard
from pseudocap.errors import DataError
from pseudocap.label.audit.pairs import draw_candidates
from pseudocap.label.pack import ClipPacking, pack
from pseudocap.label.row_labels import read_any_labels, row_files, source_files
from pseudocap.label.schema import label_files
from pseudocap.rows import row_line


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows of two films beside them: a stretch, a film as a whole, and one that could not be captioned."""
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "a.mp4", frames=20)
    write_film(tmp_path / "films" / "b.mp4", frames=15, seed=1)
    path = tmp_path / "captions.jsonl"
    path.write_text(
        row_line(video="films/a.mp4", start=0.0, end=2.0, caption="a dog", checkpoint="ours", confidence=0.5)
        + row_line(video="films/b.mp4", caption="a cat")
        + row_line(video="films/c.mp4", error="films/c.mp4: broken")
    )
    return path


def test_rows_are_labels_and_a_film_as_a_whole_has_its_length(rows: Path) -> None:
    first, second, third = read_any_labels(rows)
    assert (first.clip.source, first.clip.start, first.clip.end) == (str(rows.parent / "films" / "a.mp4"), 0.0, 2.0)
    assert (first.caption, first.teacher, first.confidence, first.kept) == ("a dog", "ours", 0.5, True)
    assert (second.clip.start, second.clip.end) == (0.0, pytest.approx(3.0, abs=0.2))
    assert (third.failed, third.kept) == (True, False)


def test_rows_of_films_that_moved_are_found_below_the_folder_that_is_named(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "films").rename(tmp_path / "moved")
    first, second, _ = read_any_labels(rows, root=tmp_path / "moved")
    assert [first.clip.source, second.clip.source] == [str(tmp_path / "moved" / name) for name in ("a.mp4", "b.mp4")]


def test_rows_are_packed(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = pack(rows, tmp_path / "tars", ClipPacking())
    assert (result.samples, dict(result.failed)) == (2, {})
    samples = list(read_shard(tmp_path / "tars" / "00000.tar"))
    assert [sample.caption for sample in samples] == ["a dog", "a cat"]
    (tmp_path / "films" / "b.mp4").unlink()
    assert main(["pack", str(rows), "--out", str(tmp_path / "others"), "--workers", "0"]) == 1
    assert "b.mp4, 0 s: there is no such file" in capsys.readouterr().out


def test_rows_are_audited(rows: Path) -> None:
    candidates = draw_candidates(read_any_labels(rows), n=2, seed=0)
    assert sorted(label.caption for label in candidates.labels) == ["a cat", "a dog"]


def test_labels_stay_labels(rows: Path, tmp_path: Path) -> None:
    run(tmp_path / "films", tmp_path / "labels")
    assert row_files(tmp_path / "labels") == row_files(tmp_path / "nowhere") == ()
    assert source_files(tmp_path / "labels") == label_files(tmp_path / "labels")
    assert row_files(next((tmp_path / "labels").glob("*.parquet"))) == ()
    assert source_files(rows) == (rows,)


def test_a_run_that_has_no_labels_yet_is_no_folder_of_rows(rows: Path, tmp_path: Path) -> None:
    run(tmp_path / "films", tmp_path / "labels")
    for shard in (tmp_path / "labels").glob("*.parquet"):
        shard.unlink()
    assert row_files(tmp_path / "labels") == ()
    with pytest.raises(DataError, match="holds no finished shard of labels"):
        source_files(tmp_path / "labels")


def test_a_folder_with_a_document_of_each_film_is_read(rows: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.mkdir()
    document = {"file": str(tmp_path / "films" / "a.mp4"), "captions": [{"start": 0.0, "end": 4.0, "text": "a dog"}]}
    (said / "a.json").write_text(json.dumps(document))
    (label,) = read_any_labels(said)
    assert (label.caption, label.clip.end) == ("a dog", pytest.approx(4.0, abs=0.2))
