from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pseudocap.files.atomic import (
    remove_unfinished,
    try_to_write,
    unfinished,
    unfinished_folder,
    unfinished_group,
    write_bytes,
    write_text,
)


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


def killed(code: str, *words: Path) -> None:
    """Run it in a process that ends by kill -9."""
    head = "import os, sys\nfrom pathlib import Path\nfrom pseudocap.files.atomic import *\n"
    done = subprocess.run([sys.executable, "-c", head + code, *map(str, words)], stderr=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("contested", [False, True])
def test_killed_while_writing_the_old_file_stands_and_the_next_writer_succeeds(tmp_path: Path, contested: bool) -> None:
    path = tmp_path / "figures.json"
    path.write_text("the old")
    killed(
        f"with unfinished(Path(sys.argv[1]), contested={contested}) as scratch:\n"
        "    scratch.write_text('half of the n')\n    os.kill(os.getpid(), 9)",
        path,
    )
    assert path.read_text() == "the old"
    assert len(list(tmp_path.glob(".*.part"))) == 1
    write_text(path, "the new")
    assert path.read_text() == "the new"
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    target = tmp_path / "above" / "folder"
    with unfinished_folder(target) as scratch:
        (scratch / "a").write_text("a")
        (scratch / "deep").mkdir()
        assert not target.exists()
    assert sorted(path.name for path in target.iterdir()) == ["a", "deep"]
    killed(
        "with unfinished_folder(Path(sys.argv[1])) as scratch:\n"
        "    (scratch / 'a').write_text('a')\n    os.kill(os.getpid(), 9)",
        tmp_path / "other",
    )
    assert not (tmp_path / "other").exists()
    with pytest.raises(OSError, match="not empty"), unfinished_folder(target) as scratch:
        (scratch / "b").write_text("b")
    assert sorted(path.name for path in target.iterdir()) == ["a", "deep"], "what is there is not replaced"
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["above"]
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_of_a_group_the_last_file_comes_last_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    code = """
left, renamed = int(sys.argv[2]), Path.replace
def replace(self, target):
    global left
    left -= 1
    return os.kill(os.getpid(), 9) if left < 0 else renamed(self, target)
Path.replace = replace
with unfinished_group(*(Path(sys.argv[1]) / name for name in ("weights", "page", "config"))) as files:
    for file in files:
        file.write_text("new")
os.kill(os.getpid(), 9)
"""
    for renames, names in enumerate([[], ["weights"], ["page", "weights"], ["config", "page", "weights"]]):
        folder = tmp_path / str(renames)
        folder.mkdir()
        killed(code, folder, Path(str(renames)))
        assert sorted(path.name for path in folder.glob("[!.]*")) == names


def test_of_a_group_that_fails_nothing_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("old")

    def write() -> None:
        with unfinished_group(tmp_path / "weights", tmp_path / "config") as (weights, config):
            weights.write_text("new")
            config.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["config"]
    assert (tmp_path / "config").read_text() == "old"


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("the old")
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        for contested in (False, True):
            with pytest.raises(OSError, match="too large"):
                write_bytes(path, b"x" * 5000, contested=contested, durable=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "the old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_older_versions_left_is_cleaned_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    (tmp_path / ".film.mp4.unfinished").write_text("half")
    write_bytes(tmp_path / "film.mp4", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    (tmp_path / ".a.npy.unfinished").write_text("half")
    (tmp_path / ".b.7.part").write_text("half")
    remove_unfinished(tmp_path, idle=60)
    assert len(list(tmp_path.iterdir())) == 3
    os.utime(tmp_path / ".b.7.part", (1, 1))
    remove_unfinished(tmp_path, idle=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.npy.unfinished", "film.mp4"]
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "shard", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.exists())))
    write_bytes(path, b"four", durable=True)
    assert synced == [(4, False)]
