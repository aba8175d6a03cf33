"""Statistics are those of a plain count over the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pseudocap.label.schema import shard_path, write_labels
from pseudocap.label.stats import statistics
from pseudocap.types import Clip, Pseudolabel

LABEL = Pseudolabel(
    clip=Clip(source="a.mp4", start=0.0, end=8.0), captions=("A dog runs.", "a dog"), log_probs=(), confidence=0.5,
    frame_times=(), teacher="t", revision=None, settings="{}", seed=0, run="r1",
)  # fmt: skip


def test_words_times_and_verdicts_are_those_of_clips_that_did_not_fail(tmp_path: Path) -> None:
    failed = replace(LABEL, captions=(), confidence=None, error="broken", clip=Clip(source="b.mp4", start=0.0, end=8.0))
    near = replace(LABEL, verdicts=("near-duplicate: a.mp4 0-8",), confidence=None)
    short = replace(LABEL, clip=replace(LABEL.clip, end=2.0), captions=("a cat",), verdicts=("short",), run="r2")
    write_labels(shard_path(tmp_path, 0), [LABEL, failed], root="")
    write_labels(shard_path(tmp_path, 1), [near, short], root="")
    found = statistics(tmp_path)
    counts = {"shards": 2, "sources": 2, "clips": 4, "failed": 1, "kept": 1, "captions": 5, "vocabulary": 4}
    assert {name: found[name] for name in counts} == counts
    assert (found["seconds_of_video"], found["mean_words"], found["mean_confidence"]) == (18.0, 2.667, 0.5)
    share = {"clips": 1, "share": 0.333333}
    assert found["verdicts"] == {"near-duplicate": share, "short": share}
    assert [(run["run"], run["clips"]) for run in found["runs"]] == [("r1", 3), ("r2", 1)]  # type: ignore[attr-defined]


def test_labels_that_all_failed_have_no_means(tmp_path: Path) -> None:
    write_labels(shard_path(tmp_path, 0), [replace(LABEL, captions=(), confidence=None, error="broken")], root="")
    found = statistics(tmp_path)
    assert (found["mean_words"], found["mean_confidence"], found["verdicts"], found["kept"]) == (None, None, {}, 0)
