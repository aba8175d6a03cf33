"""The noise of a sampled caption is a function of the run's seed, the film, the clip and the frame alone."""

from __future__ import annotations

from dataclasses import replace

from pseudocap.label.shard import view_key
from pseudocap.types import Clip

CLIP = Clip(source="a.mp4", start=2.0, end=4.0)


def test_each_frame_of_each_clip_of_each_film_and_run_has_noise_of_its_own() -> None:
    keys = {
        view_key(seed, replace(CLIP, source=source, start=start, end=start + 2), number)
        for seed in (0, 1)
        for source in ("a.mp4", "b.mp4", "a\udcff.mp4")
        for start in (0.0, 2.0, 2.5)
        for number in (0, 1)
    }
    assert len(keys) == 2 * 3 * 3 * 2
    assert all(0 <= key < 2**63 for key in keys)


def test_the_noise_of_a_frame_stays_what_it_was_where_a_clip_ends_elsewhere() -> None:
    """So that a last clip that is cut shorter has the captions that it had."""
    assert view_key(3, CLIP, 1) == view_key(3, replace(CLIP, end=3.5), 1)
