"""The service captions by sight and sound, by sight, or by sound alone, as the captioner itself does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.sounding import Track, write_sounding
from helpers.tiny_ast import write_ast

from pseudocap import PseudoCap
from pseudocap.caption_files import caption_densely, caption_files
from pseudocap.decoding import FileDecoding
from pseudocap.errors import InputError
from pseudocap.serve.batching import BatchingCaptioner
from pseudocap.serve.parts import ClipLengths

SECONDS = 60.0


@pytest.fixture
def hears(build: Callable[..., PseudoCap], tmp_path: Path) -> PseudoCap:
    model = build()
    model.add_sound(write_ast(tmp_path / "ast"))
    for adapter in model.adapters.values():
        adapter.attention.mix.weight.data.normal_(std=0.6)
    return model


@pytest.mark.parametrize("workers", [0, 1])
def test_requests_by_sound_and_by_sight_have_the_captions_of_the_captioner(
    hears: PseudoCap, tmp_path: Path, workers: int
) -> None:
    files = [write_sounding(tmp_path / "loud.mp4", Track(end=2.0), seconds=2.0)]
    files.append(write_sounding(tmp_path / "mute.mp4", seconds=2.0))
    groups = [None, "av", "v", "a"]
    options = [FileDecoding(max_new_tokens=6, modalities=group) for group in groups]
    lengths = ClipLengths(clip_seconds=0.8, min_seconds=0.3)
    with BatchingCaptioner(hears, workers=workers, batch_size=3) as captioner:
        whole = [captioner.submit(file, each, seconds=SECONDS) for each in options for file in files]
        dense = [captioner.submit(files[0], each, lengths=lengths, seconds=SECONDS) for each in options]
        found = [future.result(SECONDS) for future in whole]
        clips = [future.result(SECONDS) for future in dense]
    expected = [caption for each in options for caption in caption_files(hears, files, each)]
    assert [each.captions for each in found[:-1]] == [each.captions for each in expected[:-1]]
    assert found[-1] == expected[-1]
    assert found[-1].error.endswith("mute.mp4: the file has no sound track, and modalities is 'a'")
    for each, decoding in zip(clips, options, strict=True):
        (alone,) = caption_densely(hears, files[:1], decoding, clip_seconds=0.8, min_seconds=0.3)
        assert each.captions == alone.captions


def test_a_request_for_sound_is_refused_at_once_where_nobody_hears(model: PseudoCap, tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "loud.mp4", Track(end=1.0), seconds=1.0)
    with (
        BatchingCaptioner(model, workers=0) as captioner,
        pytest.raises(InputError, match="this captioner does not hear: modalities is 'a'"),
    ):
        captioner.submit(film, FileDecoding(modalities="a"), seconds=SECONDS)
