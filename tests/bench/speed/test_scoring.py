"""The benchmark of scores: its ways agree, and ours is as much faster as promised."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pseudocap.bench.speed.scoring import made_up_captions, measure, real_captions
from pseudocap.errors import DataError


def test_made_up_captions_are_as_many_as_asked_and_the_same_again() -> None:
    captions = made_up_captions(videos=5, each=3)
    assert [len(texts) for texts in captions.values()] == [4] * 5
    assert captions == made_up_captions(videos=5, each=3) != made_up_captions(videos=5, each=3, seed=1)


def test_real_captions_come_from_lists_and_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no video with 3 captions"):
        real_captions(tmp_path, videos=2, each=2)
    (tmp_path / "a.txt").write_text("v\ta\nv\tb\nv\tc\nw\td\n")
    captions = real_captions(tmp_path, videos=2, each=2)
    assert [sorted(texts) for texts in captions.values()] == [["a", "b", "c"]] * 2


@pytest.mark.slow
def test_scores_are_10_times_as_fast_and_50_times_with_prepared_references() -> None:
    if shutil.which("java") is None:
        pytest.skip("there is no java")
    timings = measure(made_up_captions(videos=1000, each=20), turns=3)
    seconds = {name: timing.median for name, timing in timings.items()}
    assert seconds["pycocoevalcap"] > 10 * seconds["ours"]
    assert seconds["pycocoevalcap"] > 50 * seconds["ours, references prepared"]
