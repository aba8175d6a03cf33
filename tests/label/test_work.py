"""What a shard keeps of labels that are there, and whose place the others take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pseudocap.label.schema import identity, shard_path, write_labels
from pseudocap.label.work import Work
from pseudocap.types import Clip, Pseudolabel

SURE = Pseudolabel(
    clip=Clip(source="a.mp4", start=0.0, end=8.0),
    captions=("a dog runs",),
    log_probs=(),
    confidence=0.5,
    frame_times=(4.0,),
    teacher="null",
    revision=None,
    settings="{}",
    seed=0,
    run="first",
    parent="before",
)
DOUBTED = replace(SURE, clip=Clip(source="a.mp4", start=8.0, end=16.0), confidence=0.4)
FAILED = replace(SURE, clip=Clip(source="a.mp4", start=16.0, end=24.0), captions=(), error="broken")


@pytest.mark.parametrize(
    ("below", "kept", "parents"),
    [
        (0.5, [SURE], {(8.0, 16.0): identity(DOUBTED), (16.0, 24.0): identity(FAILED)}),
        (None, [SURE, DOUBTED], {(16.0, 24.0): "before"}),
    ],
    ids=["another run", "the same run again"],
)
def test_a_label_that_takes_anothers_place_has_it_for_a_parent_unless_the_run_tries_its_own_again(
    tmp_path: Path, below: float | None, kept: list[Pseudolabel], parents: dict[tuple[float, float], str]
) -> None:
    path = shard_path(tmp_path, 0)
    write_labels(path, [SURE, DOUBTED, FAILED], root="")
    work = Work(number=0, names=("a.mp4",), root="", earlier=path, below=below)
    found = work.kept()["a.mp4"]
    assert (found.labels, found.parents, found.complete) == (kept, parents, False)
