"""Clips follow the shots of a real file, whoever detects the cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.shot_films import SIZE, film_of, write_shots

from pseudocap.types import Clip
from pseudocap.video.reader import Frame
from pseudocap.video.shots import find_cuts, shot_clips

RATE = 10


@dataclass(frozen=True)
class LargeChanges:
    """A detector of the user's own: a cut is where most pixels change by much."""

    short_side: int = 32

    @property
    def settings(self) -> Mapping[str, object]:
        return {"detector": "large changes"}

    def cuts(self, frames: Iterable[Frame]) -> Iterator[float]:
        before: np.ndarray | None = None
        for frame in frames:
            assert min(frame.pixels.shape[:2]) == self.short_side < min(SIZE), "frames come small"
            now = frame.pixels.astype(float).mean(axis=(0, 1))
            if before is not None and np.abs(now - before).max() > 8:
                yield frame.time
            before = now


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shots(tmp_path_factory.mktemp("film") / "film.mkv", film_of([12, 34, 5, 14]), rate=RATE)


def test_cuts_of_a_file_are_in_seconds_from_its_first_frame(film: Path) -> None:
    assert list(find_cuts(film, LargeChanges())) == pytest.approx([1.2, 4.6, 5.1], abs=0.01)


def test_clips_lie_within_shots_and_have_the_name_that_is_given(film: Path) -> None:
    clips = list(shot_clips(film, LargeChanges(), source="films/a", clip_seconds=2.0, min_seconds=1.0))
    bounds = [(0.0, 1.2), (1.2, 2.9), (2.9, 4.6), (5.1, 6.5)]  # the shot of half a second is left out
    assert [(clip.start, clip.end) for clip in clips] == [pytest.approx(pair, abs=0.01) for pair in bounds]
    assert {clip.source for clip in clips} == {"films/a"}


def test_a_length_that_is_known_is_not_read_again(film: Path) -> None:
    assert list(shot_clips(film, LargeChanges(), duration=1.0)) == [Clip(source=str(film), start=0.0, end=1.0)]
