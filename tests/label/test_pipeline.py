"""A labelling run: what its rows are a function of, and that nothing is lost or done twice."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import tarfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from helpers.label_worlds import SHORT, contents, rows, run, write_film

from pseudocap.errors import ConfigError, DataError
from pseudocap.files.lock import locked
from pseudocap.label.engines import LocalEngine
from pseudocap.label.filters import Filters, is_of_text
from pseudocap.label.pipeline import Relabel
from pseudocap.label.schema import identity, read_labels, read_root, read_rows, write_labels
from pseudocap.label.shard import LabelSpec
from pseudocap.label.teachers.base import Answer, NullTeacher, View
from pseudocap.label.teachers.image_text import ImageTextTeacher

SPEC = LabelSpec(framing=SHORT, shard_size=2, batch_size=4)


class Counting(NullTeacher):
    """Counts how often it is asked and says what it is asked about."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__(short_side=32)
        self.asked: list[list[View]] = []
        self.fails_at = fails_at

    def caption(self, views: Sequence[View]) -> list[Answer]:
        if len(self.asked) == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append(list(views))
        return super().caption(views)


def test_every_clip_has_one_row_in_the_order_of_the_sources(films: Path, tmp_path: Path) -> None:
    result = run(films, tmp_path / "out", SPEC)
    labels = rows(tmp_path / "out")
    assert [label.clip.source for label in labels] == (
        ["a.mp4"] * 11 + ["b.mkv"] * 4 + ["broken.mp4"] + ["c.avi"] * 4 + ["more/d.mp4"] * 6
    )
    assert [label.clip.start for label in labels[:11]] == [2.0 * k for k in range(11)]
    assert all(label.frame_times[0] == pytest.approx(label.clip.centre, abs=0.2) for label in labels if label.kept)
    (failed,) = (label for label in labels if label.failed)
    assert failed.clip.source == "broken.mp4"
    assert "cannot open it as a video" in failed.error
    assert (result.clips, result.failed, result.stats["clips"]) == (26, 1, 26)
    assert {label.clip.source for label in read_labels(tmp_path / "out")} <= {str(p) for p in films.rglob("*")}


def test_rows_are_the_same_whatever_the_workers(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    run(films, tmp_path / "none", SPEC, blip)
    run(films, tmp_path / "two", SPEC, blip, engine=LocalEngine(2))
    assert contents(tmp_path / "none") == contents(tmp_path / "two")
    captions = {label.caption for label in rows(tmp_path / "none") if not label.failed}
    assert len(captions) > 10  # not one caption for all


def test_batches_go_across_files_and_always_have_the_same_size(films: Path, tmp_path: Path) -> None:
    teacher = Counting()
    run(films, tmp_path / "out", replace(SPEC, batch_size=6), teacher)
    assert {len(views) for views in teacher.asked} == {6}
    assert any(len({view.clip.source for view in views}) > 1 for views in teacher.asked)
    assert len(teacher.asked) == 3 + 1 + 1  # 15 clips, 4 and 6: a shard begins with a new batch


def test_an_interrupted_run_goes_on_to_the_same_bytes(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "whole", SPEC)
    with pytest.raises(KeyboardInterrupt):
        run(films, tmp_path / "out", SPEC, Counting(fails_at=4))
    assert set(contents(tmp_path / "out")) == {"plan.json", "000000.parquet"}
    rest = Counting()
    run(films, tmp_path / "out", SPEC, rest)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(rest.asked) == 3
    again = Counting()
    assert run(films, tmp_path / "out", SPEC, again).clips == 0
    assert again.asked == []


def test_sampling_does_not_depend_on_the_folders_place(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    shutil.copytree(films, tmp_path / "moved")
    run(films, tmp_path / "here", SPEC, blip)
    run(tmp_path / "moved", tmp_path / "there", SPEC, blip)
    assert rows(tmp_path / "here") == rows(tmp_path / "there")


def test_another_seed_samples_other_captions(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    run(films / "a.mp4", tmp_path / "one", SPEC, blip)
    run(films / "a.mp4", tmp_path / "other", replace(SPEC, seed=1), blip)
    assert [row.caption for row in rows(tmp_path / "one")] != [row.caption for row in rows(tmp_path / "other")]


def test_videos_of_a_tar_are_labelled_as_those_of_a_folder(film_tar: Path, films: Path, tmp_path: Path) -> None:
    run(film_tar, tmp_path / "tar", engine=LocalEngine(1))
    labels = rows(tmp_path / "tar")
    assert {label.clip.source for label in labels} == {f"00000.tar/00000000{k}.mp4" for k in (0, 1)}
    run(films / "a.mp4", tmp_path / "file")
    assert [label.frame_times for label in labels[:11]] == [label.frame_times for label in rows(tmp_path / "file")]
    assert not list((tmp_path / "tar").glob(".fetched*"))


def test_a_cut_tar_costs_only_what_it_lacks(film_tar: Path, tmp_path: Path) -> None:
    cut = tmp_path / "00000.tar"
    with tarfile.open(film_tar) as archive:
        second = archive.getmembers()[1].offset_data
    cut.write_bytes(film_tar.read_bytes()[: second + 100])
    run(cut, tmp_path / "out")
    labels = rows(tmp_path / "out")
    assert sum(not label.failed for label in labels) == 11
    lost = [label for label in labels if label.failed]
    assert lost
    assert all("fetch it again" in label.error for label in lost)


def test_retrying_touches_only_what_failed(films: Path, tmp_path: Path) -> None:
    source = tmp_path / "films"
    shutil.copytree(films, source)
    run(source, tmp_path / "out", SPEC)
    shutil.copy(films / "b.mkv", source / "broken.mp4")
    unasked = Counting()
    run(source, tmp_path / "out", SPEC, unasked)
    assert unasked.asked == []
    teacher = Counting()
    result = run(source, tmp_path / "out", SPEC, teacher, retry_failed=True)
    assert {view.clip.source for views in teacher.asked for view in views} == {"broken.mp4"}
    assert (result.clips, result.stats["failed"]) == (4, 0)
    run(source, tmp_path / "whole", SPEC)
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_retrying_in_vain_keeps_the_row(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "out", SPEC)
    before = contents(tmp_path / "out")
    run(films, tmp_path / "out", SPEC, retry_failed=True)
    assert contents(tmp_path / "out") == before


def test_a_tar_that_cannot_be_read_while_its_failures_are_retried_loses_nothing(
    film_tar: Path, films: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "tars", tmp_path / "out"
    source.mkdir()
    tar = source / "00000.tar"
    with tarfile.open(film_tar) as there, tarfile.open(tar, "w") as archive:
        for member in there.getmembers():
            archive.addfile(member, there.extractfile(member))
        archive.add(films / "broken.mp4", "000000009.mp4")
    run(source, out)
    good = [row for row in rows(out) if not row.failed]
    assert good
    content = tar.read_bytes()
    tar.write_bytes(b"")
    run(source, out, retry_failed=True)
    assert [row for row in rows(out) if not row.failed] == good
    tar.write_bytes(content)
    run(source, out, retry_failed=True)
    assert [row for row in rows(out) if not row.failed] == good


def test_what_fails_again_does_not_stop_a_retry(films: Path, tmp_path: Path) -> None:
    for number in range(30):
        (films / f"broken{number}.mp4").write_text("no film")
    try:
        run(films, tmp_path / "out")
        again = run(films, tmp_path / "out", retry_failed=True, max_failure_rate=0.1)
    finally:
        for number in range(30):
            (films / f"broken{number}.mp4").unlink()
    assert again.stats["failed"] == 31


def test_a_truncated_film_costs_its_end_only(films: Path, tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mkv", frames=110)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    run(tmp_path / "cut.mkv", tmp_path / "out", SPEC)
    labels = rows(tmp_path / "out")
    assert [label.failed for label in labels] == [False] * (len(labels) - 1) + [True]
    assert len(labels) > 3
    assert labels[-1].clip.end == pytest.approx(22.0, abs=0.1)
    assert "truncated" in labels[-1].error


def test_of_a_film_that_was_replaced_only_the_clips_that_it_has_stay(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    film, out = write_film(tmp_path / "films" / "a.mkv", frames=63), tmp_path / "out"
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    run(film.parent, out)
    before = rows(out)
    assert any(row.failed for row in before)
    assert any(not row.failed for row in before)
    write_film(film, frames=13)
    run(film.parent, out, retry_failed=True)
    spans = [(row.clip.start, row.clip.end) for row in before if not row.failed]
    assert [(row.clip.start, row.clip.end) for row in rows(out)] == spans[:1] != spans


def test_too_many_failures_stop_the_run_with_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for number in range(24):
        (tmp_path / "films" / f"{number:02}.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"clips failed, more than --max-failure-rate 0\.1 .*finished shards are kept"):
        run(tmp_path / "films", tmp_path / "out", SPEC, max_failure_rate=0.1)
    assert len(rows(tmp_path / "out")) == 4  # after each shard: 3 of the first 20 are over it
    assert not (tmp_path / "out" / "stats.json").exists()
    run(tmp_path / "films", tmp_path / "out", SPEC, max_failure_rate=1.0)
    assert len(rows(tmp_path / "out")) == 24


def test_new_films_get_shards_of_their_own(films: Path, tmp_path: Path) -> None:
    source = tmp_path / "films"
    source.mkdir()
    shutil.copy(films / "b.mkv", source / "b.mkv")
    run(source, tmp_path / "out", SPEC)
    before = contents(tmp_path / "out")
    shutil.copy(films / "b.mkv", source / "a.mkv")
    run(source, tmp_path / "out", SPEC)
    after = contents(tmp_path / "out")
    assert after["000000.parquet"] == before["000000.parquet"]
    assert [label.clip.source for label in rows(tmp_path / "out")] == ["b.mkv"] * 4 + ["a.mkv"] * 4


def test_statistics_of_fewer_films_are_gone_once_more_are_labelled(films: Path, tmp_path: Path) -> None:
    """A run that ends early leaves none, rather than those of the run before."""

    class Ended(NullTeacher):
        def caption(self, views: Sequence[View]) -> list[Answer]:
            raise KeyboardInterrupt

    source, out = tmp_path / "films", tmp_path / "out"
    shutil.copytree(films / "more", source)
    run(source, out)
    assert (out / "stats.json").is_file()
    shutil.copy(films / "c.avi", source)
    with pytest.raises(KeyboardInterrupt):
        run(source, out, teacher=Ended(short_side=32))
    assert not (out / "stats.json").exists()
    assert run(source, out).stats["clips"] == len(rows(out))


def test_a_folder_holds_labels_of_one_kind(films: Path, tmp_path: Path) -> None:
    run(films / "a.mp4", tmp_path / "out", SPEC)
    with pytest.raises(DataError, match="with seed 0, and this run has 1; choose another --out"):
        run(films / "a.mp4", tmp_path / "out", replace(SPEC, seed=1))
    with pytest.raises(DataError, match="holds labels of"):
        run(films / "more", tmp_path / "out", SPEC)


def test_an_engine_ends_before_the_lock_and_the_scratch_folder_go(films: Path, tmp_path: Path) -> None:
    class Watched(LocalEngine):
        ended: bool | None = None

        def label(self, works: Any, teacher: Any, recipe: Any, scratch: Path) -> Generator[Any]:
            try:
                yield from super().label(works, teacher, recipe, scratch)
            finally:
                self.ended = scratch.is_dir()

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    engine = Watched(0)
    with pytest.raises(OSError, match="the disk is full"):
        run(films, tmp_path / "run", engine=engine, progress=fail)
    assert engine.ended


def test_a_second_run_on_the_same_folder_refuses(films: Path, tmp_path: Path) -> None:
    run(films / "a.mp4", tmp_path / "out", SPEC)
    with locked(tmp_path / "out", "packing"), pytest.raises(DataError, match=r"another run .* is packing into"):
        run(films / "a.mp4", tmp_path / "out", SPEC)


def test_a_full_disk_is_an_error_that_leaves_finished_shards(films: Path, tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            run(films, tmp_path / "out", SPEC)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    run(films, tmp_path / "out", SPEC)
    run(films, tmp_path / "whole", SPEC)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_relabelling_asks_only_about_what_is_doubtful(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    run(films, tmp_path / "first", SPEC, blip)
    for path in (tmp_path / "first").glob("*.parquet"):
        near = [
            each if each.failed else replace(each, verdicts=(*each.verdicts, "near-duplicate:x"))
            for each in read_rows(path)
        ]
        write_labels(path, near, root=read_root(path))
    before = rows(tmp_path / "first")
    scores = sorted(label.confidence for label in before if label.confidence is not None)
    below = scores[len(scores) // 2]
    teacher = Counting()
    run(films, tmp_path / "second", SPEC, teacher, relabel=Relabel(earlier=tmp_path / "first", below=below))
    after = rows(tmp_path / "second")
    for old, new in zip(before, after, strict=True):
        if old.failed:
            assert new.failed
            assert new.verdicts == ()
        elif old.confidence is not None and old.confidence >= below:
            assert replace(new, verdicts=old.verdicts) == old
            assert set(old.verdicts) <= set(new.verdicts)
        else:
            assert new.teacher == "null"
            assert new.clip == old.clip
            assert new.run != old.run
            assert [each for each in new.verdicts if not is_of_text(each)] == ["near-duplicate:x"], "its pictures stay"
        assert new.parent == (None if new.run == old.run else identity(old))
    asked = {(view.clip.source, view.clip.start) for views in teacher.asked for view in views}
    assert len(asked) == len(scores) // 2
    first, second = (json.loads((tmp_path / name / "plan.json").read_bytes()) for name in ("first", "second"))
    assert second["settings"]["relabel"] == first["run"] == before[0].run
    stats = json.loads((tmp_path / "second" / "stats.json").read_bytes())
    counts = {each["run"]: (each["teacher"], each["clips"]) for each in stats["runs"]}
    assert counts[second["run"]] == ("null", len(asked) + 1)  # and the one that failed
    assert counts[first["run"]][1] == len(before) - len(asked) - 1


def test_rows_from_before_runs_had_names_are_read(films: Path, tmp_path: Path) -> None:
    run(films / "a.mp4", tmp_path / "out", SPEC)
    path = tmp_path / "out" / "000000.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.drop_columns(["run"]), path)
    assert {label.run for label in rows(tmp_path / "out")} == {""}


def test_statistics_count_what_the_rows_say(films: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, filters=Filters(words=("second 4",), min_words=0))
    run(films, tmp_path / "out", spec)
    stats = json.loads((tmp_path / "out" / "stats.json").read_bytes())
    assert stats["verdicts"] == {"word:second 4": {"clips": 4, "share": 4 / 25}}
    assert (stats["clips"], stats["failed"], stats["kept"], stats["captions"]) == (26, 1, 21, 25)
    assert (stats["mean_words"], stats["sources"], stats["shards"]) == (5.0, 5, 3)
    assert stats["vocabulary"] == 4 + 11  # a clip from second, and eleven numbers


def test_consensus_puts_the_caption_first_that_agrees_most(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    framing = replace(SHORT, choice="consensus", count=3)
    run(films / "more", tmp_path / "out", replace(SPEC, framing=framing), blip)
    labels = rows(tmp_path / "out")
    assert {len(label.captions) for label in labels} == {3}
    assert {len(label.frame_times) for label in labels} == {3}
    assert all(label.confidence is not None and 0 <= label.confidence <= 1 for label in labels)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"shard_size": 0}, {"seed": 2**63}])
def test_settings_that_cannot_be_are_refused_at_birth(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LabelSpec(**wrong)  # type: ignore[arg-type]
