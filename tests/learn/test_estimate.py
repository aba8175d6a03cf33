"""What a run would take, from a probe of its own clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.small_worlds import PREPROCESS, write_square

from pseudocap import PseudoCap
from pseudocap.label.framing import Framing
from pseudocap.label.teachers.base import Answer, NullTeacher, View
from pseudocap.learn.estimate import Estimate, estimate, probed_clips
from pseudocap.learn.plan import LearnPlan, find_videos, hold_out


class Counting(NullTeacher):
    seen = 0

    def caption(self, views: list[View]) -> list[Answer]:
        self.seen += len(views)
        assert all(view.frames is not None for view in views)
        return super().caption(views)


@pytest.fixture
def plan(tmp_path: Path) -> LearnPlan:
    for number, move in enumerate(("left", "right", "left", "right")):
        write_square(tmp_path / f"{number}.mp4", "red", move)
    videos, _ = find_videos(tmp_path)
    return hold_out(LearnPlan(root=str(tmp_path), videos=videos, unreadable={}, start="a", teacher="b"), None)


def test_every_stage_has_a_time_and_the_disk_has_room_for_memories_and_weights(
    plan: LearnPlan, build: Callable[..., PseudoCap], tmp_path: Path
) -> None:
    model, teacher = build(), Counting()
    model.set_preprocess(PREPROCESS)
    found = estimate(plan, model, teacher, Framing(), out=tmp_path / "not" / "there")
    assert [cost.stage for cost in found.costs] == ["labels", "memories", "train", "report"]
    assert all(cost.seconds > 0 and cost.basis == "measured on 2 clips" for cost in found.costs)
    assert teacher.seen == 2
    assert found.free > 0
    longer = estimate(replace(plan, steps=4000), model, teacher, Framing(), out=tmp_path)
    assert longer.costs[2].seconds > found.costs[2].seconds
    assert longer.bytes == found.bytes
    memory = model.encode(torch.zeros(1, PREPROCESS.frames, 3, PREPROCESS.size, PREPROCESS.size))
    a_clip = sum(axis.vectors.numel() for axis in memory.axes.values()) * 2
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) * 4
    assert plan.clips * a_clip + 3 * weights < found.bytes


def test_a_teacher_that_would_be_fetched_has_a_stated_rate(
    plan: LearnPlan, build: Callable[..., PseudoCap], tmp_path: Path
) -> None:
    found = estimate(plan, build(), None, None, out=tmp_path, fetched=["owner/blip"])
    assert found.costs[0].basis == "a stated rate of BLIP"
    assert found.costs[0].seconds == pytest.approx(4 * 2.2)
    assert found.fetched == ("owner/blip",)


def test_a_full_disk_is_an_objection(tmp_path: Path) -> None:
    assert Estimate(costs=(), bytes=10**9, free=2 * 10**9).objection(tmp_path) == ""
    assert "stores about 1.0 GB and its disk has 500 MB free" in Estimate(
        costs=(), bytes=10**9, free=500 * 10**6
    ).objection(tmp_path)


def test_probed_clips_are_the_first_of_videos_that_lie_apart(plan: LearnPlan) -> None:
    assert [Path(clip.source).name for clip in probed_clips(plan)] == ["0.mp4", "2.mp4"]
