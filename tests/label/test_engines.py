"""Videos to decoded clips, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.label_worlds import SHORT

from pseudocap.label.engines import LocalEngine
from pseudocap.label.sources import Media
from pseudocap.label.work import DecodedClips, ShardEnd, VideoTask


@pytest.mark.parametrize("workers", [0, 2])
def test_sights_come_in_the_order_of_the_errands(films: Path, tmp_path: Path, workers: int) -> None:
    names = ["more/d.mp4", "broken.mp4", "a.mp4", "gone.mp4"]
    tasks: list[VideoTask | ShardEnd] = [VideoTask(media=Media(name=name, address=str(films / name))) for name in names]
    tasks.insert(2, ShardEnd(number=0))
    tasks.append(VideoTask(media=Media(name="kept.mp4", address="nowhere"), skip=True))
    parts = list(LocalEngine(workers).decode(tasks, SHORT, tmp_path))
    order = ["end" if isinstance(part, ShardEnd) else part.media.name for part in parts]
    assert list(dict.fromkeys(order)) == ["more/d.mp4", "broken.mp4", "end", "a.mp4", "gone.mp4", "kept.mp4"]
    seen = [part for part in parts if isinstance(part, DecodedClips)]
    assert sum(part.ends for part in seen) == 5
    starts = [decoded.clip.start for part in seen if part.media.name == "a.mp4" for decoded in part.decoded]
    assert starts == [2.0 * k for k in range(11)]
    (lost,) = (decoded for part in seen if part.media.name == "gone.mp4" for decoded in part.decoded)
    assert "no such file" in lost.problem


def test_known_clips_are_not_watched(films: Path, tmp_path: Path) -> None:
    known = frozenset((2.0 * k, 2.0 * k + 2) for k in range(10))
    task = VideoTask(media=Media(name="a.mp4", address=str(films / "a.mp4")), known=known)
    parts = [part for part in LocalEngine(0).decode([task], SHORT, tmp_path) if isinstance(part, DecodedClips)]
    assert [decoded.clip.start for part in parts for decoded in part.decoded] == [20.0]
    assert parts[0].clips is not None
    assert len(parts[0].clips) == 11
