"""Videos to watched clips, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.label_worlds import SHORT

from pseudocap.label.engines import LocalEngine
from pseudocap.label.sources import Media
from pseudocap.label.work import Errand, ShardEnd, WatchedClips


@pytest.mark.parametrize("workers", [0, 2])
def test_sights_come_in_the_order_of_the_errands(films: Path, tmp_path: Path, workers: int) -> None:
    names = ["more/d.mp4", "broken.mp4", "a.mp4", "gone.mp4"]
    errands: list[Errand | ShardEnd] = [Errand(media=Media(name=name, address=str(films / name))) for name in names]
    errands.insert(2, ShardEnd(number=0))
    errands.append(Errand(media=Media(name="kept.mp4", address="nowhere"), skip=True))
    sights = list(LocalEngine(workers).watch(errands, SHORT, tmp_path))
    order = ["end" if isinstance(sight, ShardEnd) else sight.media.name for sight in sights]
    assert list(dict.fromkeys(order)) == ["more/d.mp4", "broken.mp4", "end", "a.mp4", "gone.mp4", "kept.mp4"]
    seen = [sight for sight in sights if isinstance(sight, WatchedClips)]
    assert sum(sight.ends for sight in seen) == 5
    starts = [watched.clip.start for sight in seen if sight.media.name == "a.mp4" for watched in sight.watched]
    assert starts == [2.0 * k for k in range(11)]
    (lost,) = (watched for sight in seen if sight.media.name == "gone.mp4" for watched in sight.watched)
    assert "no such file" in lost.problem


def test_known_clips_are_not_watched(films: Path, tmp_path: Path) -> None:
    known = frozenset((2.0 * k, 2.0 * k + 2) for k in range(10))
    errand = Errand(media=Media(name="a.mp4", address=str(films / "a.mp4")), known=known)
    sights = [sight for sight in LocalEngine(0).watch([errand], SHORT, tmp_path) if isinstance(sight, WatchedClips)]
    assert [watched.clip.start for sight in sights for watched in sight.watched] == [20.0]
    assert sights[0].clips is not None
    assert len(sights[0].clips) == 11
