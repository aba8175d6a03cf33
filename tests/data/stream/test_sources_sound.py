"""Samples with the sound of their stretch of the file."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.sounding import Track, write_sounding

from pseudocap.audio.clips import read_windows
from pseudocap.data.stream.sources import RowSource, Source, TarSource
from pseudocap.data.tars.index import index_tars
from pseudocap.data.videos import VideoFolder
from pseudocap.types import CaptionedVideo, Preprocess, SoundPreprocess

SMALL = Preprocess(size=16, frames=4)
SOUND = SoundPreprocess(bins=16, frames=32)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_sounding(folder / "loud.mp4", Track())
    write_sounding(folder / "mute.mp4")
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for key in ("loud", "mute"):
            (folder / f"{key}.txt").write_text("a tone")
            archive.add(folder / f"{key}.mp4", f"{key}.mp4")
            archive.add(folder / f"{key}.txt", f"{key}.txt")
    return folder


def row(name: str, start: float | None = None, end: float | None = None) -> CaptionedVideo:
    return CaptionedVideo(id=f"{name}{start}", video=name, captions=("x",), split="train", start=start, end=end)


def sources(films: Path, kind: str, sound: SoundPreprocess | None) -> Source:
    if kind == "tars":
        return TarSource(index_tars(films / "00000.tar"), SMALL, sound=sound)
    return RowSource([row("loud"), row("mute"), row("loud", 1.0, 9.0)], VideoFolder(films), SMALL, sound=sound)


@pytest.mark.parametrize("kind", ["rows", "tars"])
def test_a_sample_has_the_sound_of_its_seconds_and_the_frames_that_it_had(films: Path, kind: str) -> None:
    source, silent = sources(films, kind, SOUND), sources(films, kind, None)
    spans = [(0.0, 3.0), None, (1.0, 3.0)][: sum(source.groups)]
    for number, span in enumerate(spans):
        for seed in (None, 4):
            draws = [None if seed is None else torch.Generator().manual_seed(seed) for _ in range(2)]
            sample, before = source.sample(number, draws[0]), silent.sample(number, draws[1])
            assert torch.equal(sample.frames, before.frames)
            assert (before.sound, before.sound_lengths) == (None, None)
            if seed is not None:
                assert torch.equal(draws[0].get_state(), draws[1].get_state()), "sound takes no draw"
            if span is None:
                assert (sample.sound, sample.sound_lengths) == (None, None)
                continue
            windows, lengths = read_windows(films / "loud.mp4", SOUND, start=span[0], end=span[1])
            np.testing.assert_array_equal(sample.sound, windows)
            assert sample.sound_lengths.tolist() == lengths.tolist()
    assert source.identity == silent.identity
