"""Files captioned by sight and sound, by sight, and by sound alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.loud_weights import with_loud_weights
from helpers.sounding import Track, write_sounding
from helpers.tiny_ast import write_ast
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.audio.clips import Windows
from pseudocap.audio.spectrogram import sound_windows
from pseudocap.audio.waveform import read_sound
from pseudocap.caption_files import caption_densely, caption_files
from pseudocap.decoding import FileDecoding
from pseudocap.errors import DecodeError, InputError, NoSoundError
from pseudocap.external import ExternalCaptioner
from pseudocap.heard_clips import HeardClip
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.memory import Memory
from pseudocap.types import Clip, TimedCaption
from pseudocap.video.decode import open_video
from pseudocap.video.tensors import decode_clip

SHORT = {"max_new_tokens": 6}


@pytest.fixture(scope="module")
def hears(backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> PseudoCap:
    """A captioner whose captions depend on what it sees and on what it hears."""
    model = PseudoCap.from_backbones(
        decoder=backbones / "opt",
        encoder=backbones / "timesformer",
        audio_encoder=write_ast(tmp_path_factory.mktemp("ast")),
        adapter_layers=(1, 2, 3),
        device="cpu",
    )
    return with_loud_weights(model, std=0.8, seed=3)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    late = Track(start=1.5, end=3.0, gains=(0.3,))
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(folder / "still.png")
    return {
        "loud": write_sounding(folder / "loud.mp4", Track()),
        "late": write_sounding(folder / "late.mp4", late),
        "mute": write_sounding(folder / "mute.mp4"),
        "still": folder / "still.png",
    }


def captioned(model: PseudoCap, memory: Memory) -> str:
    return model.describe(memory, num_beams=1, **SHORT)[0]


def sound_of(model: PseudoCap, file: Path, start: float, end: float) -> Windows:
    assert model.config.sound_preprocess is not None
    return sound_windows(read_sound(file, start=start, end=end), model.config.sound_preprocess)


def by_hand(model: PseudoCap, film: Path, start: float = 0.0, end: float = 3.0) -> Memory:
    """What a captioner should know of these seconds of a film."""
    windows, lengths = sound_of(model, film, start, end)
    with open_video(film) as video:
        frames = decode_clip(video, Clip(source=str(film), start=start, end=end), model.config.preprocess)
    sound = {"sound": torch.from_numpy(windows)[None], "sound_lengths": torch.from_numpy(lengths)[None]}
    return model.encode(frames[None], **sound)


def test_a_file_is_captioned_by_the_modalities_that_are_asked_for(hears: PseudoCap, films: dict[str, Path]) -> None:
    memory = by_hand(hears, films["loud"])
    captions = {group: hears.caption(films["loud"], modalities=group, **SHORT) for group in ("av", "v", "a")}
    assert captions == {group: captioned(hears, memory.only(group)) for group in captions}
    assert len(set(captions.values())) == 3, "each tells something else"
    assert hears.caption(films["loud"], **SHORT) == captions["av"], "by default all that there is"


def test_files_with_and_without_sound_are_captioned_together_as_each_alone(
    hears: PseudoCap, films: dict[str, Path]
) -> None:
    for options in ({}, {"beams": 2}, {"modalities": "av"}, {"modalities": "v"}):
        together = hears.caption(list(films.values()), **options, **SHORT)
        assert together == [hears.caption(film, **options, **SHORT) for film in films.values()]
    by_sight = [hears.caption(films[name], modalities="v", **SHORT) for name in ("mute", "still")]
    assert hears.caption([films["mute"], films["still"]], **SHORT) == by_sight


def test_a_silent_file_cannot_be_captioned_by_sound_alone(hears: PseudoCap, films: dict[str, Path]) -> None:
    with pytest.raises(NoSoundError, match=r"mute.mp4: the file has no sound track, and modalities is 'a'"):
        hears.caption(films["mute"], modalities="a")
    with pytest.raises(NoSoundError, match=r"still.png: the file has no sound track"):
        hears.caption(films["still"], modalities="a")
    decoding = FileDecoding(modalities="a", **SHORT)
    found = list(caption_files(hears, [films[name] for name in ("loud", "mute", "late")], decoding))
    assert [bool(each.error) for each in found] == [False, True, False]
    assert found[1].error.endswith("mute.mp4: the file has no sound track, and modalities is 'a'")
    assert [found[at].captions[0].text for at in (0, 2)] == [
        hears.caption(films[name], modalities="a", **SHORT) for name in ("loud", "late")
    ]
    (dense,) = caption_densely(hears, [films["mute"]], decoding, clip_seconds=1.0)
    assert "no sound track" in dense.error


def test_a_file_without_pictures_is_captioned_by_its_sound(hears: PseudoCap, films: dict[str, Path]) -> None:
    track = write_sounding(films["loud"].with_name("track.wav"), Track(codec="pcm_s16le"), codec=None)
    options: dict[str, Any] = {"modalities": "a", **SHORT}
    memory = hears.encode_clips([HeardClip.of(None, sound_of(hears, track, 0.0, 3.0))])
    assert hears.caption(track, **options) == captioned(hears, memory)
    (found,) = caption_files(hears, [track], FileDecoding(**options))
    assert (found.captions[0].end, found.error) == (pytest.approx(3.0), "")
    dense = list(hears.caption_long(track, clip_seconds=1.0, **options))
    assert [(each.start, each.end) for each in dense] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    second = hears.encode_clips([HeardClip.of(None, sound_of(hears, track, 1.0, 2.0))])
    assert dense[1].text == captioned(hears, second)
    for group in ("av", None):
        with pytest.raises(DecodeError, match=r"no video stream .*takes sound alone \(modalities 'a'\)"):
            hears.caption(track, modalities=group)


def test_ears_that_have_learned_nothing_are_not_listened_to(
    build: Callable[..., PseudoCap], films: dict[str, Path], tmp_path: Path
) -> None:
    model = build()
    model.add_sound(write_ast(tmp_path / "ast"))
    for group in ("av", "v", None):
        assert isinstance(model.caption(films["loud"], modalities=group, **SHORT), str)
    with pytest.raises(InputError, match="has gained its ears and not yet learned to use them"):
        model.caption(films["loud"], modalities="a")
    adapter = next(iter(model.adapters.values()))
    adapter.attention.mix.weight.data.normal_(std=0.1)
    assert isinstance(model.caption(films["loud"], modalities="a", **SHORT), str)


@pytest.mark.parametrize("group", ["av", "a", "v", None])
def test_each_clip_of_a_film_is_captioned_by_its_own_sound(
    hears: PseudoCap, films: dict[str, Path], group: str | None
) -> None:
    found = list(
        hears.caption_long(films["late"], clip_seconds=0.75, min_seconds=0.5, modalities=group, batch_size=3, **SHORT)
    )
    spans = [(0.75 * number, 0.75 * (number + 1)) for number in range(4)]
    assert found == [
        TimedCaption(
            start=start,
            end=end,
            text=captioned(hears, by_hand(hears, films["late"], start, end).only(group or "av")),
        )
        for start, end in spans
    ]


def test_captioners_that_do_not_hear_are_not_asked_to(
    model: PseudoCap, films: dict[str, Path], blip: ImageTextTeacher
) -> None:
    assert model.caption(films["loud"], modalities="v", **SHORT) == model.caption(films["loud"], **SHORT)
    with pytest.raises(InputError, match=r"modalities must be one of av, v, a, not 'audio'"):
        model.caption(films["loud"], modalities="audio")
    for deaf in (model, ExternalCaptioner(blip)):
        for group in ("av", "a"):
            with pytest.raises(InputError, match=f"this captioner does not hear: modalities is '{group}'"):
                deaf.caption(films["loud"], modalities=group)
            with pytest.raises(InputError, match="does not hear"):
                list(caption_files(deaf, [films["loud"]], FileDecoding(modalities=group)))
            with pytest.raises(InputError, match="does not hear"):
                list(deaf.caption_long(films["loud"], modalities=group))
