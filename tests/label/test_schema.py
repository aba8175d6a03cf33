"""Rows of labels on disk: what goes in comes out, and nothing half-written is ever taken for a file."""

from __future__ import annotations

import resource
import signal
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudocap.errors import DataError
from pseudocap.label.schema import SCHEMA, holds_labels, read_labels, read_root, read_rows, shard_path, write_labels
from pseudocap.types import Clip, Pseudolabel

LABEL = Pseudolabel(
    clip=Clip(source="a/b.mp4", start=8.0, end=16.0),
    captions=("a dog runs", "a dög"),
    log_probs=(-3.5, -4.0),
    confidence=0.25,
    frame_times=(11.96,),
    teacher="Salesforce/blip-image-captioning-large",
    revision="abc",
    settings='{"top_p": 0.9}',
    seed=7,
)
FAILED = replace(
    LABEL, captions=(), log_probs=(), confidence=None, frame_times=(), revision=None, error="a/b.mp4: truncated"
)
DOUBTED = replace(LABEL, verdicts=("short",))


def test_what_is_written_is_read_with_sources_below_the_root(tmp_path: Path) -> None:
    labels = [LABEL, FAILED, DOUBTED]
    write_labels(shard_path(tmp_path, 0), labels, root="/films")
    write_labels(shard_path(tmp_path, 1), [LABEL], root="/films")
    assert list(read_rows(shard_path(tmp_path, 0))) == labels
    located = replace(LABEL, clip=replace(LABEL.clip, source="/films/a/b.mp4"))
    assert list(read_labels(tmp_path))[3] == located
    assert {label.clip.source for label in read_labels(tmp_path, root="elsewhere")} == {"elsewhere/a/b.mp4"}
    assert [label.kept for label in labels] == [True, False, False]


def test_an_empty_shard_has_the_schema(tmp_path: Path) -> None:
    write_labels(shard_path(tmp_path, 0), [], root="")
    assert list(read_labels(tmp_path)) == []
    assert pyarrow.parquet.read_schema(shard_path(tmp_path, 0)).equals(SCHEMA)


def test_labels_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr("pseudocap.label.schema.VERSION", 3)
        write_labels(shard_path(tmp_path, 0), [LABEL], root="")
    with pytest.raises(DataError, match="version 3, and this pseudocap reads versions 1 to 2"):
        list(read_labels(tmp_path))


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished shard"):
        list(read_labels(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        list(read_labels(tmp_path / "gone"))
    shard_path(tmp_path, 0).write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"000000\.parquet cannot be read as labels"):
        list(read_labels(tmp_path))
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), shard_path(tmp_path, 0))
    with pytest.raises(DataError, match="is no file of labels"):
        list(read_labels(tmp_path))


def test_labels_are_distinguished_from_tables_folders_of_tars_and_what_is_not_there(tmp_path: Path) -> None:
    write_labels(shard_path(tmp_path / "run", 3), [LABEL], root="")  # the shards before it are not finished
    (tmp_path / "tars").mkdir()
    for table in (tmp_path / "captions.parquet", tmp_path / "tars" / "00000.parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"caption": ["a dog"]}), table)
    (tmp_path / "captions.jsonl").touch()
    held = [path for path in (tmp_path, *sorted(tmp_path.rglob("*")), tmp_path / "gone.parquet") if holds_labels(path)]
    assert held == [tmp_path / "run", tmp_path / "run" / "000003.parquet"]


def test_a_full_disk_is_an_error_that_leaves_the_finished_file(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write_labels(path, [LABEL], root="")
    before, limit = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            write_labels(path, [replace(LABEL, seed=seed) for seed in range(2000)], root="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)
WORDS = st.text('ab \n\0\u00e9\u4e2d\U0001f600"\\/,', max_size=30)
ANY_LABEL = st.builds(
    Pseudolabel,
    clip=st.builds(
        lambda source, start, length: Clip(source=source, start=start, end=start + length),
        WORDS.filter(bool),
        st.floats(0, 1e5),
        st.floats(0.01, 100),
    ),
    captions=st.lists(WORDS, max_size=3).map(tuple),
    log_probs=st.lists(NUMBERS, max_size=3).map(tuple),
    confidence=st.none() | NUMBERS,
    frame_times=st.lists(NUMBERS, max_size=3).map(tuple),
    teacher=WORDS,
    revision=st.none() | WORDS,
    settings=WORDS,
    seed=st.integers(0, 2**63 - 1),
    run=WORDS,
    verdicts=st.lists(WORDS, max_size=2).map(tuple),
    error=WORDS,
    language=st.none() | WORDS,
    parent=st.none() | WORDS,
)


@given(labels=st.lists(ANY_LABEL, max_size=4), root=WORDS)
def test_any_label_comes_back_as_it_was_written(labels: list[Pseudolabel], root: str) -> None:
    with TemporaryDirectory() as folder:
        path = shard_path(folder, 3)
        write_labels(path, labels, root=root)
        assert list(read_rows(path)) == labels
        assert read_root(path) == root
