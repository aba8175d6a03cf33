"""Files of several runs beside each other: none is taken for another run's."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from pseudocap.cli.caption_records import FolderRecord, Journal, read_written
from pseudocap.cli.delivery import CaptionDelivery, plan_delivery
from pseudocap.errors import ConfigError, DataError
from pseudocap.types import FileCaptions, TimedCaption

SAID = (TimedCaption(start=0.0, end=1.0, text="a dog runs"),)


def planned(out: Path, run: str, *names: str, overwrite: bool = False) -> CaptionDelivery:
    form = out.suffix[1:] or "srt"
    files = [(name, Path(name)) for name in names]
    return plan_delivery(files, form=form, dense=True, out=out, run=run, overwrite=overwrite)


def write(out: Path, run: str, *names: str, overwrite: bool = False) -> None:
    delivery = planned(out, run, *names, overwrite=overwrite)
    with delivery.kept():
        for number, name in enumerate(names):
            delivery.take(number, name, FileCaptions(file=name, captions=SAID))


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "out"])
def test_a_run_beside_another_does_not_make_its_files_its_own(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    write(out, "first", "a.mp4")
    write(out, "second", "b.mp4")
    assert planned(out, "second", "b.mp4").finished == {0}
    for names in (("a.mp4",), ("b.mp4", "a.mp4")):
        with pytest.raises(ConfigError, match=r"holds captions of .*a\.(mp4|srt) that this command would not write"):
            planned(out, "second", *names)
    write(out, "second", "a.mp4", "b.mp4", overwrite=True)
    assert planned(out, "second", "a.mp4", "b.mp4").finished == {0, 1}


def test_a_single_file_of_captions_is_finished_for_its_own_video_and_options_alone(tmp_path: Path) -> None:
    out = tmp_path / "x.srt"
    write(out, "run", "films/a.mp4")
    write(tmp_path / "y.srt", "other", "b.mp4")  # another file of the folder, by other options
    assert planned(out, "run", "films/a.mp4").finished == {0}
    for run, name in (("other", "films/a.mp4"), ("run", "films/b.mp4")):
        with pytest.raises(ConfigError, match=r"--out \S+x\.srt holds captions of x\.srt"):
            planned(out, run, name)
    write(out, "other", "films/a.mp4", overwrite=True)
    assert planned(out, "other", "films/a.mp4").finished == {0}
    (tmp_path / "by_hand.srt").write_text("1\n")
    with pytest.raises(ConfigError, match="by hand"):
        planned(tmp_path / "by_hand.srt", "run", "by_hand.mp4")


def test_files_with_an_error_are_those_of_every_command_that_writes_there(tmp_path: Path) -> None:
    targets = [tmp_path / "a.srt", tmp_path / "b.srt"]
    one, other = (FolderRecord(folder=tmp_path, form="srt", run="r", suffix=".srt") for _ in range(2))
    for record in (one, other):
        record.begin()
    for target, record in zip(targets, (one, other), strict=True):
        target.touch()
        record.note(target, failed=True)
    assert one.finished(targets) == set()
    one.note(targets[1], failed=False)
    assert other.finished(targets) == {targets[1]}


def test_a_journal_without_captions_is_the_next_runs(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with Journal(out, "first").opened(overwrite=False):
        pass
    second = Journal(out, "second")
    with second.opened(overwrite=False):
        second.add("a.mp4", [{"caption": "a dog"}], failed=False)
    assert Journal(out, "second").read() == ({"a.mp4": [{"caption": "a dog"}]}, set())
    with pytest.raises(ConfigError, match=r"x\.jsonl holds captions of a\.mp4"):
        Journal(out, "first").read()


def test_captions_of_a_run_that_ended_since_the_plan_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    delivery = planned(out, "run", "b.mp4")
    write(out, "run", "a.mp4")
    with delivery.kept():
        delivery.take(0, "b.mp4", FileCaptions(file="b.mp4", captions=SAID))
    assert planned(out, "run", "a.mp4", "b.mp4").finished == {0, 1}


def test_a_second_run_that_overwrites_waits_for_the_first_and_removes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    write(out, "run", "a.mp4")
    before = out.read_bytes()
    with ExitStack() as first:
        first.enter_context(planned(out, "run", "b.mp4").kept())
        with pytest.raises(DataError, match="another run"), planned(out, "run", "a.mp4", overwrite=True).kept():
            pass
        assert out.read_bytes() == before


def test_what_cannot_be_gone_on_with_is_reported_with_its_file(tmp_path: Path) -> None:
    (tmp_path / ".x.jsonl.journal").write_bytes(b"\0\0\n")
    with pytest.raises(DataError, match="journal, line 1 cannot be read"):
        Journal(tmp_path / "x.jsonl", "run").read()
    (tmp_path / "x.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read as a table"):
        read_written(tmp_path / "x.parquet", "parquet", "video")
