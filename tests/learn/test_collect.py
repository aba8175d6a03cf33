"""Videos of lists, tars and addresses become a folder of files, once."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest
from helpers.corpora import write_clip
from helpers.tars import write_tar

from pseudocap.errors import ConfigError, DataError
from pseudocap.files.lock import LOCK, locked
from pseudocap.label.run_folder import SCRATCH
from pseudocap.learn.collect import video_folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "films" / "more" / "a.mp4")


def names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_a_folder_of_files_is_itself_and_nothing_is_written(clip: Path, tmp_path: Path) -> None:
    assert video_folder(str(tmp_path / "films"), tmp_path / "run") == ((tmp_path / "films").resolve(), {})
    assert not (tmp_path / "run").exists()


def test_the_files_of_a_list_are_linked_by_their_paths(clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "films" / "a.mp4", frames=4)
    (tmp_path / "list.txt").write_text(f"films/more/a.mp4\n{other}\nfile://{clip}.gone.mp4\n")
    folder, problems = video_folder(str(tmp_path / "list.txt"), tmp_path / "run")
    assert names(folder) == ["a.mp4", "more/a.mp4", "source.json"]
    assert (folder / "more" / "a.mp4").read_bytes() == clip.read_bytes()
    assert (folder / "a.mp4").readlink() == other
    assert [(name, "cannot be fetched" in reason) for name, reason in problems.items()] == [
        ("more/a.mp4.gone.mp4", True)
    ]


def test_the_videos_of_tars_are_copied_once_and_a_broken_tar_costs_what_it_lacks(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    write_tar(tmp_path / "tars" / "0.tar", [(name, content) for name in ("x.mp4", "x.txt", "y.mp4", "../../out.mp4")])
    complete = io.BytesIO()
    with tarfile.open(fileobj=complete, mode="w") as archive:
        for name in ("x.mp4", "z.mp4"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "tars" / "1.tar").write_bytes(complete.getvalue()[: len(content) + 1500])
    folder, problems = video_folder(str(tmp_path / "tars"), tmp_path / "run")
    assert names(folder) == ["0/x.mp4", "0/y.mp4", "1/x.mp4", "source.json"]
    assert (folder / "0" / "y.mp4").read_bytes() == content
    assert list(problems) == ["0/../../out.mp4", "1/z.mp4", "1.tar"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    (folder / "0" / "x.mp4").unlink()
    video_folder(str(tmp_path / "tars"), tmp_path / "run")
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert {path for path in after if after[path] != before[path]} == {folder / "0" / "x.mp4"}
    with pytest.raises(ConfigError, match=r"learns from .*tars; name another --out for .*0\.tar"):
        video_folder(str(tmp_path / "tars" / "0.tar"), tmp_path / "run")


def test_what_lies_behind_an_address_is_copied(clip: Path, tmp_path: Path) -> None:
    for name in ("b.mp4", "c.mp4"):
        write_clip(tmp_path / "films" / name)
    folder, problems = video_folder(f"file://{tmp_path}/films", tmp_path / "run")
    assert names(folder) == ["b.mp4", "c.mp4", "more/a.mp4", "source.json"]
    assert (folder / "more" / "a.mp4").read_bytes() == clip.read_bytes()
    assert not (folder / "b.mp4").is_symlink()
    assert problems == {}


def test_one_video_is_refused_before_anything_is_written(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.mp4 is of 1 videos, and learning takes at least 3"):
        video_folder(str(clip), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_there_takes_no_room_again_and_what_a_killed_run_was_fetching_is_no_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = clip.read_bytes()
    write_tar(tmp_path / "films.tar", [(name, content) for name in ("x.mp4", "y.mp4")])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=len(content)))
    with pytest.raises(DataError, match=rf"would take {2 * len(content):,} bytes, and its disk has {len(content):,}"):
        video_folder(str(tmp_path / "films.tar"), tmp_path / "run")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    folder, _ = video_folder(str(tmp_path / "films.tar"), tmp_path / "run")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=len(content)))
    (folder / "y.mp4").unlink()
    (folder / SCRATCH).mkdir()
    (folder / SCRATCH / "half.mp4").write_bytes(content[:100])
    with locked(folder, "collecting"), pytest.raises(DataError, match="collecting"):
        video_folder(str(tmp_path / "films.tar"), tmp_path / "run")
    video_folder(str(tmp_path / "films.tar"), tmp_path / "run")
    assert names(folder) == ["source.json", "x.mp4", "y.mp4"]


def test_a_tar_without_a_video_is_one_error(tmp_path: Path) -> None:
    write_tar(tmp_path / "texts.tar", [("x.txt", b"x")])
    with pytest.raises(DataError, match=r"texts\.tar holds no video"):
        video_folder(str(tmp_path / "texts.tar"), tmp_path / "run")
