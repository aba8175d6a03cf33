"""The plan of a run: its videos, what is held out, and what is refused before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.corpora import msrvtt_tables, write_json
from helpers.small_worlds import write_square

from pseudocap.data.corpora.base import Corpus
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError, DataError
from pseudocap.learn.plan import (
    FoundVideo,
    LearnPlan,
    files_of,
    find_videos,
    hold_out,
    identity_of,
    peoples_captions,
    read_plan,
    refuse_other_videos,
    require_enough,
)

NAMES = [f"{number}.mp4" for number in range(20)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for name in NAMES:
        (tmp_path / "films" / name).write_bytes(b"x")
    return tmp_path / "films"


def plan_of(root: Path, **changes: object) -> LearnPlan:
    videos = tuple(FoundVideo(name=name, size=1, seconds=20.0) for name in NAMES)
    plan = LearnPlan(root=str(root), videos=videos, unreadable={}, start="a", teacher="b")
    return replace(plan, **changes)


def peoples(folder: Path, *rows: str) -> Corpus:
    path = folder / "people.csv"
    path.write_text("\n".join(("video,caption,split", *rows)) + "\n")
    return read_own(path, split="unmarked")


def test_videos_are_found_with_their_lengths_and_broken_ones_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write_square(tmp_path / "more" / "a.mp4", "red", "left")
    (tmp_path / "b.mp4").write_bytes(b"no film")
    found, unreadable = find_videos(tmp_path)
    assert [(video.name, video.seconds) for video in found] == [("more/a.mp4", 2.0)]
    assert list(unreadable) == ["b.mp4"]
    with pytest.raises(DataError, match="films has 1 readable video, and learning takes at least 3"):
        require_enough("films", found)


def test_a_folder_without_a_readable_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no video"):
        find_videos(tmp_path)
    (tmp_path / "b.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match=r"none of the 1 videos .* can be read; b\.mp4: "):
        find_videos(tmp_path)


def test_whole_files_are_held_out_by_the_seed(root: Path) -> None:
    plan = hold_out(plan_of(root), None)
    assert len(plan.held_out) == 2
    assert plan.counts == (18 * 3, 2 * 3)
    assert hold_out(plan_of(root), None).held_out == plan.held_out
    assert hold_out(plan_of(root, seed=1), None).held_out != plan.held_out
    assert set(plan.held_out) < set(hold_out(plan_of(root, holdout=0.5), None).held_out)


def test_captioned_videos_are_held_out_first_and_those_marked_val_or_test_alone(root: Path) -> None:
    plan = plan_of(root, captions="people.csv", holdout=0.15)
    some = hold_out(plan, peoples(root, "3.mp4,a cat,", "7,a dog,"))
    assert {"3.mp4", "7.mp4"} < set(some.held_out)
    assert len(some.held_out) == 3
    marked = peoples(root, "1.mp4,a cat,train", "2.mp4,a dog,test", "5.mp4,a cow,val", "6.mp4,a pig,val")
    assert hold_out(plan, marked).held_out == ("2.mp4", "5.mp4", "6.mp4")


def test_where_all_videos_are_marked_a_share_of_them_is_held_out_unless_their_captions_are_learned(root: Path) -> None:
    marked = peoples(root, *(f"{name},a cat,dev" for name in NAMES))
    assert len(hold_out(plan_of(root, captions="people.csv"), marked).held_out) == 2
    with pytest.raises(DataError, match="20 of 20 videos would be held out"):
        hold_out(plan_of(root, captions="people.csv", tune=True), marked)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (["gone.mp4,a cat,", "3.mp4,a dog,"], {}, "1 of its videos are below"),
        (["2.mp4,a dog,test", "3.mp4,a dog,train"], {}, "1 of 20 videos would be held out"),
        (["2.mp4,a dog,", "3.mp4,a dog,"], {"holdout": 0.99}, "20 of 20 videos would be held out"),
    ],
)
def test_a_split_that_cannot_be_measured_is_refused(
    root: Path, rows: list[str], changes: dict[str, float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        hold_out(plan_of(root, captions="people.csv", **changes), peoples(root, *rows))


def test_official_annotations_are_peoples_captions_with_their_own_splits(root: Path, tmp_path: Path) -> None:
    ids = [f"video{number}" for number in range(10_000)]
    splits = {"train": ids[:6513], "val": ids[6513:7010], "test": ids[7010:]}
    write_json(tmp_path / "official" / "MSRVTT_data.json", msrvtt_tables(splits))
    named = (ids[0], ids[1], ids[6513], ids[9999])
    videos = tuple(FoundVideo(name=f"{name}.mp4", size=1, seconds=20.0) for name in named)
    for video in videos:
        (root / video.name).touch()
    plan = plan_of(root, videos=videos, captions=f"msrvtt:{tmp_path / 'official'}")
    corpus = peoples_captions(plan)
    assert corpus is not None
    assert set(files_of(plan, corpus).values()) == {video.name for video in videos}
    assert hold_out(plan, corpus).held_out == ("video6513.mp4", "video9999.mp4")
    assert identity_of(plan.captions) == corpus.content_hash


def test_steps_follow_the_clips_within_bounds(root: Path) -> None:
    def steps(seconds: float) -> int:
        videos = tuple(FoundVideo(name=name, size=1, seconds=seconds) for name in NAMES)
        return hold_out(plan_of(root, videos=videos), None).optimiser_steps

    assert steps(8.0) == 40
    assert steps(80.0) == 10 * 18 * 10 // 16
    assert steps(8000.0) == 2000
    assert hold_out(plan_of(root, steps=7), None).optimiser_steps == 7


def test_a_plan_is_read_as_it_was_saved(root: Path, tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    plan = hold_out(plan_of(root, unreadable={"x.mp4": "no film"}, clip_seconds=2.5), None)
    plan.save(tmp_path)
    assert read_plan(tmp_path) == plan
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read as the plan of a run"):
        read_plan(tmp_path)


def test_a_run_of_other_videos_is_not_gone_on_with(root: Path, tmp_path: Path) -> None:
    plan = plan_of(root)
    refuse_other_videos(tmp_path, plan, root, plan.videos)
    with pytest.raises(ConfigError, match="learns from the videos of"):
        refuse_other_videos(tmp_path, plan, tmp_path, plan.videos)
    grown = (FoundVideo(name="new.mp4", size=1, seconds=1.0), *plan.videos[1:-1])
    with pytest.raises(ConfigError, match=r"0\.mp4, 19\.mp4, new\.mp4 came, went or differ"):
        refuse_other_videos(tmp_path, plan, root, grown)
