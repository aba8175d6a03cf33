"""Clips that are black or stand still are marked, and keep their mark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.label_worlds import contents, rows, run
from helpers.paragraphs import with_paragraph
from helpers.shot_films import shot, write_shots

from pseudocap.errors import ConfigError
from pseudocap.label.filters import Filters
from pseudocap.label.framing import Framing
from pseudocap.label.looks import light, motion, text_share
from pseudocap.label.shard import LabelSpec
from pseudocap.label.teachers.base import NullTeacher

FRAMING = Framing(clip_seconds=2.0, choice="consensus", count=3)
SPEC = LabelSpec(framing=FRAMING, filters=Filters(min_light=0.05, min_motion=0.01))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that move, two of black, two of one picture; and no film."""
    moving = list(shot(0, 20))
    frames = [*moving, *[np.zeros_like(moving[0])] * 20, *[moving[0]] * 20]
    folder = tmp_path_factory.mktemp("films")
    write_shots(folder / "a.mp4", frames)
    (folder / "broken.mp4").write_bytes(b"no film")
    return folder


def test_measures_lie_between_0_and_1() -> None:
    frames = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    assert (light(frames), motion(frames)) == (1.0, 1.0)
    assert (light(frames[:1]), motion(frames[[0, 0]])) == (0.0, 0.0)


def test_text_is_counted_where_it_is_and_at_any_size_of_frame() -> None:
    ground = np.broadcast_to(np.linspace(60, 140, 384).astype(np.uint8)[:, None, None], (384, 512, 3))
    written = [with_paragraph(ground, np.random.default_rng(0), share=share, size=14) for share in (0.3, 0.7)]
    few, many = (text_share(frame[None]) for frame in written)
    assert text_share(ground[None]) == 0.0
    assert 0.15 < few < 0.35 < many < 0.75
    large = written[1].repeat(3, 0).repeat(3, 1)
    assert abs(text_share(large[None]) - many) < 0.05
    assert text_share(np.stack([ground, written[1]])) == pytest.approx(many / 2)
    assert text_share(written[1][None, :8]) == 0.0, "too small to have a cell"


def test_clips_full_of_text_are_marked(tmp_path: Path) -> None:
    page = with_paragraph(np.zeros((384, 512, 3), np.uint8), np.random.default_rng(0), share=0.9, size=14)
    (tmp_path / "films").mkdir()
    write_shots(tmp_path / "films" / "a.mp4", [page] * 20 + [np.full_like(page, 90)] * 20)
    spec = LabelSpec(framing=Framing(clip_seconds=2.0), filters=Filters(max_text=0.2, duplicates=False))
    run(tmp_path / "films", tmp_path / "out", spec, NullTeacher())
    assert [row.verdicts for row in rows(tmp_path / "out")] == [("text",), ()]


def test_black_and_static_clips_are_marked_counted_and_marked_still_when_tried_again(
    films: Path, tmp_path: Path
) -> None:
    filters = replace(SPEC.filters, duplicates=False)
    result = run(films, tmp_path / "out", replace(SPEC, filters=filters))
    assert [row.verdicts for row in rows(tmp_path / "out")] == [(), ("black", "static"), ("static",), ()]
    verdicts = result.stats["verdicts"]
    assert (verdicts["black"]["clips"], verdicts["static"]["clips"]) == (1, 2)  # type: ignore[index]
    before = contents(tmp_path / "out")
    run(films, tmp_path / "out", replace(SPEC, filters=filters), retry_failed=True)
    assert contents(tmp_path / "out") == before


def test_filters_that_are_off_are_not_recorded_and_look_at_nothing(films: Path, tmp_path: Path) -> None:
    assert not {"min_light", "min_motion", "max_text"} & Filters().recorded().keys()
    run(films, tmp_path / "out", LabelSpec(framing=FRAMING))
    assert [row.verdicts for row in rows(tmp_path / "out")] == [(), (), (), ()]


def test_filters_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_light is 1 and must be 0"):
        Filters(min_light=1.0)
    with pytest.raises(ConfigError, match="min_motion compares the frames of a clip"):
        LabelSpec(filters=Filters(min_motion=0.1))
