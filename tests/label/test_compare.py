"""How far two runs agree, told clip by clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.label_worlds import SHORT, rows, run

from pseudocap.errors import DataError
from pseudocap.label.compare import compare_labels
from pseudocap.label.shard import LabelSpec
from pseudocap.label.teachers.base import Answer, NullTeacher, View
from pseudocap.label.teachers.image_text import ImageTextTeacher

SPEC = LabelSpec(framing=SHORT, shard_size=2, batch_size=4)


class Fickle(NullTeacher):
    """Says something else of every clip that begins at second 4."""

    def caption(self, views: Sequence[View]) -> list[Answer]:
        answers = super().caption(views)
        return [
            Answer(captions=("something else entirely",)) if view.clip.start == 4 else answer
            for view, answer in zip(views, answers, strict=True)
        ]


def test_captions_that_differ_are_counted(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "one", SPEC)
    run(films, tmp_path / "other", SPEC, Fickle(short_side=32))
    found = compare_labels(tmp_path / "one", tmp_path / "other")
    assert (found.clips, found.differing, found.only_one) == (25, 4, 0)
    assert found.share == 4 / 25
    (tmp_path / "other" / "000002.parquet").unlink()
    assert compare_labels(tmp_path / "one", tmp_path / "other").only_one == 6


def test_another_batch_size_may_be_compared(films: Path, tmp_path: Path, blip: ImageTextTeacher) -> None:
    run(films, tmp_path / "four", SPEC, blip)
    run(films, tmp_path / "seven", replace(SPEC, batch_size=7), blip)
    differing = [a.caption != b.caption for a, b in zip(rows(tmp_path / "four"), rows(tmp_path / "seven"), strict=True)]
    assert compare_labels(tmp_path / "four", tmp_path / "seven").differing == sum(differing)


def test_runs_over_other_videos_are_refused(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "one", SPEC)
    run(films / "more", tmp_path / "other", SPEC)
    with pytest.raises(DataError, match="labels of other videos, or in other shards"):
        compare_labels(tmp_path / "one", tmp_path / "other")
    with pytest.raises(DataError, match="holds no labelling run"):
        compare_labels(tmp_path / "one", tmp_path)
