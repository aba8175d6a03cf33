"""Labels behind an address: the same files, complete or absent, one run at a time."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from helpers.label_worlds import SHORT, contents, rows, run

import pseudocap.files.claim
from pseudocap.errors import DataError
from pseudocap.files.claim import CLAIM, claimed
from pseudocap.files.remote import RemotePath, any_path, names_in, write_atomic
from pseudocap.label.compare import compare_labels
from pseudocap.label.pipeline import Relabel
from pseudocap.label.schema import label_files, read_labels
from pseudocap.label.shard import LabelSpec
from pseudocap.label.teachers.base import NullTeacher

SPEC = LabelSpec(framing=SHORT, shard_size=2, batch_size=4)


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of fsspec's store in memory, whose objects are put at once as in S3."""
    address = f"memory://{uuid.uuid4().hex}/labels"
    yield address
    filesystem, path = fsspec.core.url_to_fs(address)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudocap.files.claim, "RENEWAL", 0.1)
    monkeypatch.setattr(pseudocap.files.claim, "PATIENCE", 0.4)


def stored(address: str) -> dict[str, bytes]:
    filesystem, path = fsspec.core.url_to_fs(address)
    return {name.rpartition("/")[2]: filesystem.cat_file(name) for name in filesystem.find(path)}


def test_an_address_gets_the_files_of_a_folder(films: Path, tmp_path: Path, bucket: str) -> None:
    run(films, tmp_path / "here", SPEC)
    run(films, bucket, SPEC)  # type: ignore[arg-type]
    assert stored(bucket) == contents(tmp_path / "here")
    assert list(read_labels(bucket)) == list(read_labels(tmp_path / "here"))
    assert compare_labels(bucket, tmp_path / "here").differing == 0


def test_an_interrupted_run_into_an_address_goes_on(films: Path, tmp_path: Path, bucket: str) -> None:
    class Tired(NullTeacher):
        def caption(self, views):  # type: ignore[no-untyped-def]
            if len(label_files(bucket) if names_in(any_path(bucket)) > {"plan.json", CLAIM} else ()):
                raise KeyboardInterrupt
            return super().caption(views)

    with pytest.raises(KeyboardInterrupt):
        run(films, bucket, SPEC, Tired(short_side=32))  # type: ignore[arg-type]
    assert set(stored(bucket)) == {"plan.json", "000000.parquet"}
    run(films, bucket, SPEC)  # type: ignore[arg-type]
    run(films, tmp_path / "whole", SPEC)
    assert stored(bucket) == contents(tmp_path / "whole")


def test_a_run_behind_an_address_can_be_relabelled(films: Path, tmp_path: Path, bucket: str) -> None:
    run(films, bucket, SPEC)  # type: ignore[arg-type]
    run(films, tmp_path / "second", SPEC, relabel=Relabel(earlier=bucket, below=0.5))
    assert len(rows(tmp_path / "second")) == 26


def test_who_renews_a_claim_is_not_disturbed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudocap.files.claim, "PATIENCE", 30)  # ends at the first renewal, also on a busy machine
    folder = RemotePath(bucket)
    with (
        claimed(folder, "labelling"),
        pytest.raises(DataError, match=r"another run \(process \d+ on .*\) is labelling into memory:.*wait for it"),
        claimed(folder, "packing"),
    ):
        pass
    assert CLAIM not in folder.names()


def test_a_claim_that_another_run_has_taken_is_left_to_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudocap.files.claim, "RENEWAL", 5.0)  # none comes in this test
    folder, other = RemotePath(bucket), b'{"claim": "other", "host": "there", "process": 7}'
    with claimed(folder, "labelling"):
        (folder / CLAIM).put(other)
    assert (folder / CLAIM).read_bytes() == other


def test_a_claim_that_ends_while_it_is_looked_at_is_free(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RemotePath(bucket)
    (folder / CLAIM).put(b'{"claim": "ending", "host": "there", "process": 7}')
    seconds, pauses = time.sleep, list[float]()

    def ends(pause: float) -> None:
        if not pauses:
            (folder / CLAIM).unlink()
        pauses.append(pause)
        seconds(pause)

    monkeypatch.setattr(pseudocap.files.claim.time, "sleep", ends)
    with claimed(folder, "labelling"):
        assert b"ending" not in (folder / CLAIM).read_bytes()


def test_the_claim_of_a_killed_run_is_taken_over(bucket: str) -> None:
    folder = RemotePath(bucket)
    (folder / CLAIM).put(b'{"claim": "dead", "host": "gone", "process": 1}')
    with claimed(folder, "labelling"):
        assert b"dead" not in (folder / CLAIM).read_bytes()
    assert folder.names() == set()


def test_of_two_claims_at_once_the_later_one_wins(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RemotePath(bucket)
    other = b'{"claim": "other", "host": "there", "process": 7}'
    monkeypatch.setattr(pseudocap.files.claim.time, "sleep", lambda _: (folder / CLAIM).put(other))
    with pytest.raises(DataError, match="process 7 on there"), claimed(folder, "labelling"):
        pass
    assert (folder / CLAIM).read_bytes() == other


def test_where_puts_are_not_whole_a_file_is_moved_into_place(tmp_path: Path) -> None:
    path = RemotePath(f"local://{tmp_path}/labels") / "000000.parquet"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["000000.parquet"]
    killed = f"""
import os, pseudocap.files.remote as storage
from fsspec.implementations.local import LocalFileSystem
LocalFileSystem.mv = lambda *given, **options: os.kill(os.getpid(), 9)
storage.write_atomic(storage.RemotePath({str(path)!r}), b"third")
"""
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -9
    assert path.read_bytes() == b"second"


def test_what_cannot_be_reached_is_told_by_its_address() -> None:
    with pytest.raises(DataError, match=r"nosuch://bucket/labels.* cannot be reached"):
        names_in(any_path("nosuch://bucket/labels"))
    assert any_path("file:///labels") == Path("/labels")
