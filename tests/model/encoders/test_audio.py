"""An audio model's features are transformers' own, pooled to moments of real sound; without sound all is masked."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.audio_models import MODELS, write_audio_model
from helpers.image_models import write_transformers
from helpers.sounding import heard
from transformers import AutoFeatureExtractor

from pseudocap.audio.spectrogram import sound_windows
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.memory import Memory
from pseudocap.model.encoders import AudioEncoder, load_audio_encoder, load_encoder

KINDS = sorted(MODELS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    folders = {kind: tmp_path_factory.mktemp("audio") / kind for kind in KINDS}
    return {kind: (folder, write_audio_model(folder, kind)) for kind, folder in folders.items()}


def windows_of(encoder: AudioEncoder, *seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows and lengths of clips that last so long, as a batch."""
    clips = [sound_windows(heard(each, start=each), encoder.preprocess) for each in seconds]
    most = max(len(lengths) for _, lengths in clips)
    windows = torch.zeros(len(clips), most, encoder.preprocess.frames, encoder.preprocess.bins)
    lengths = torch.zeros(len(clips), most, dtype=torch.int64)
    for row, (found, real) in enumerate(clips):
        windows[row, : len(found)], lengths[row, : len(real)] = torch.from_numpy(found), torch.from_numpy(real)
    return windows, lengths


def real_vectors(memory: Memory, row: int, axis: str = "sound") -> torch.Tensor:
    return memory.axes[axis].vectors[row][memory.axes[axis].mask[row]]


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_transformers(kind: str, models: dict[str, tuple[Path, Any]]) -> None:
    folder, model = models[kind]
    encoder = load_audio_encoder(folder, moments=100)
    sound = heard(encoder.preprocess.seconds)
    inputs = AutoFeatureExtractor.from_pretrained(folder)(sound, sampling_rate=16000, return_tensors="pt")
    base = model.base_model.encoder if kind == "whisper" else model.base_model
    with torch.no_grad():
        hidden = base(next(iter(inputs.values()))).last_hidden_state[0]
    windows, lengths = sound_windows(sound, encoder.preprocess)
    memory = encoder.encode(torch.from_numpy(windows)[None], torch.from_numpy(lengths)[None])
    if kind == "ast":  # 2 bands of pitch and 12 moments behind two tokens
        hidden = hidden[2:].view(2, 12, -1).amax(dim=0)
    torch.testing.assert_close(real_vectors(memory, 0), hidden, atol=1e-4, rtol=1e-4)
    assert encoder.width("sound") == hidden.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_has_so_many_moments_a_second_whatever_it_is_batched_with(
    kind: str, models: dict[str, tuple[Path, Any]]
) -> None:
    encoder = load_audio_encoder(models[kind][0], moments=5)
    seconds = encoder.preprocess.seconds
    windows, lengths = windows_of(encoder, seconds / 2, 1.5 * seconds, 0.01)
    memory = encoder.encode(windows, lengths)
    counts = memory.axes["sound"].mask.sum(dim=1).tolist()
    assert counts == pytest.approx([2.5 * seconds, 7.5 * seconds, 1], abs=1)
    assert counts[2] == 1
    for row in range(3):
        own = int((lengths[row] > 0).sum())
        alone = encoder.encode(windows[row : row + 1, :own], lengths[row : row + 1, :own])
        torch.testing.assert_close(real_vectors(memory, row), real_vectors(alone, 0))
    assert not memory.axes["sound"].vectors[~memory.axes["sound"].mask].any()


def test_a_clip_without_sound_is_masked_beside_others_and_alone(models: dict[str, tuple[Path, Any]]) -> None:
    encoder = load_audio_encoder(models["ast"][0], pitch=True)
    windows, lengths = windows_of(encoder, 1.0, 1.0)
    lengths[1] = 0
    memory = encoder.encode(windows, lengths)
    for axis in memory.axes.values():
        assert (bool(axis.mask[0].any()), bool(axis.mask[1].any())) == (True, False)
        assert not axis.vectors[1].any()
    for none in (encoder.encode(windows[1:], lengths[1:]), encoder.encode(windows[1:, :0], lengths[1:, :0])):
        assert list(none.axes) == ["sound", "pitch"]
        assert not any(axis.mask.any() or axis.vectors.any() for axis in none.axes.values())


def test_what_lies_after_the_end_of_the_sound_is_not_pooled(models: dict[str, tuple[Path, Any]]) -> None:
    encoder = load_audio_encoder(models["ast"][0], pitch=True)
    grid = encoder(windows_of(encoder, 1.28)[0][0])
    windows, lengths = windows_of(encoder, 1.28)
    lengths[:] = 35  # of the frames; a step of time begins each 10 frames
    memory = encoder.encode(windows, lengths)
    torch.testing.assert_close(real_vectors(memory, 0, "pitch"), grid[0, :, :4].amax(dim=1))
    torch.testing.assert_close(real_vectors(memory, 0)[0], grid[0, :, :3].amax(dim=(0, 1)))
    torch.testing.assert_close(real_vectors(memory, 0)[1], grid[0, :, 3].amax(dim=0))


def test_the_number_of_a_window_shows(models: dict[str, tuple[Path, Any]]) -> None:
    encoder = load_audio_encoder(models["ast"][0])
    windows, lengths = windows_of(encoder, 1.28)
    twice = encoder.encode(windows.repeat(1, 2, 1, 1), lengths.repeat(1, 2))
    first, second = real_vectors(twice, 0).chunk(2)
    torch.testing.assert_close(first, real_vectors(encoder.encode(windows, lengths), 0), rtol=0, atol=0)
    added = second - first
    torch.testing.assert_close(added, added[:1].expand_as(added))
    assert added.abs().max() > 0.1


def test_the_fingerprint_is_that_of_the_weights(models: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder = models["ast"][0]
    write_audio_model(tmp_path / "other", seed=1)
    encoder = load_audio_encoder(folder)
    assert encoder.fingerprint == load_audio_encoder(folder, moments=2, pitch=True).fingerprint
    assert encoder.fingerprint != load_audio_encoder(tmp_path / "other").fingerprint
    assert encoder.origin is not None
    assert (encoder.origin.source, encoder.origin.fingerprint) == (str(folder), encoder.fingerprint)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training


def test_moments_may_be_set_later_and_what_the_network_does_not_take_may_not(
    models: dict[str, tuple[Path, Any]],
) -> None:
    encoder = load_audio_encoder(models["ast"][0])
    windows, lengths = windows_of(encoder, 1.28)
    assert encoder.encode(windows, lengths).axes["sound"].mask.sum() == 5
    encoder.set_preprocess(dataclasses.replace(encoder.preprocess, moments=2.4))
    assert encoder.encode(windows, lengths).axes["sound"].mask.sum() == 3
    others = ({"bins": 64}, {"frames": 64}, {"rate": 8000}, {"features": "waveform"}, {"window": 512}, {"hop": 80})
    for changes in (*others, {"window_function": "hamming"}, {"mean": 0.0}, {"std": 1.0}):
        with pytest.raises(ConfigError, match=rf"sound_preprocess\.{next(iter(changes))} is"):
            encoder.set_preprocess(dataclasses.replace(encoder.preprocess, **changes))  # type: ignore[arg-type]


def test_a_waveform_may_be_cut_into_other_windows_and_a_saved_encoder_keeps_them(
    models: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    encoder = load_audio_encoder(models["hubert"][0])
    encoder.set_preprocess(dataclasses.replace(encoder.preprocess, frames=32000))
    encoder.save_pretrained(tmp_path / "saved")
    assert load_audio_encoder(tmp_path / "saved").preprocess == encoder.preprocess
    with pytest.raises(ConfigError, match=r"sound_preprocess\.mean is"):
        encoder.set_preprocess(dataclasses.replace(encoder.preprocess, mean=None))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_encoder_is_read_as_it_was_and_in_8_bits_nearly(
    kind: str, models: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    encoder = load_audio_encoder(models[kind][0], moments=3, pitch=True)
    windows, lengths = windows_of(encoder, 1.0)
    memory = encoder.encode(windows, lengths)
    sizes = []
    for int8 in (False, True):
        encoder.save_pretrained(tmp_path / str(int8), int8=int8)
        sizes.append((tmp_path / str(int8) / "model.safetensors").stat().st_size)
        back = load_audio_encoder(tmp_path / str(int8))
        assert back.preprocess.moments == 3
        assert (back.preprocess, back.axes) == (encoder.preprocess, ("sound", "pitch"))
        for axis, found in back.encode(windows, lengths).axes.items():
            torch.testing.assert_close(found.vectors, memory.axes[axis].vectors, atol=0.2 if int8 else 0, rtol=0)
    assert sizes[1] < 0.6 * sizes[0]


def test_what_does_not_hear_is_refused(models: dict[str, tuple[Path, Any]], tmp_path: Path, backbones: Path) -> None:
    write_transformers(tmp_path / "vit", "vit")
    with pytest.raises(CheckpointError, match="is a 'vit', which is no audio model; name an AST, a Whisper"):
        load_audio_encoder(tmp_path / "vit")
    with pytest.raises(CheckpointError, match="which is no audio model"):
        load_audio_encoder(backbones / "opt")
    with pytest.raises(CheckpointError, match="hears and does not see"):
        load_encoder(models["ast"][0])
    (tmp_path / "captioner").mkdir()
    (tmp_path / "captioner" / "config.json").write_text('{"model_type": "pseudocap"}')
    with pytest.raises(CheckpointError, match="is a captioner, not an encoder"):
        load_audio_encoder(tmp_path / "captioner")
    with pytest.raises(ConfigError, match=r"sound_preprocess\.moments must be a number above 0"):
        load_audio_encoder(models["ast"][0], moments=0)
    with pytest.raises(ConfigError, match="kind of an encoder of sound"):
        load_audio_encoder(models["ast"][0], kind="timesformer")


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("preprocessor_config.json", None, "how its sound is prepared is in that file"),
        ("preprocessor_config.json", {"max_length": 64}, "not those of config.json"),
        ("preprocessor_config.json", {"std": 0}, "std must be a number above 0"),
        ("config.json", {"num_hidden_layers": 3}, "missing keys"),
        ("config.json", {"hidden_size": 32}, "could not be loaded|mismatched keys"),
        ("config.json", {"pseudocap": {"moment": 3}}, "pseudocap is wrong"),
        ("model.safetensors", b"\x00" * 64, "is damaged or incomplete"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    models: dict[str, tuple[Path, Any]], tmp_path: Path, file: str, change: Any, problem: str
) -> None:
    shutil.copytree(models["ast"][0], tmp_path / "ast")
    path = tmp_path / "ast" / file
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(CheckpointError, match=problem):
        load_audio_encoder(tmp_path / "ast")


def test_what_is_no_sound_is_refused(models: dict[str, tuple[Path, Any]]) -> None:
    encoder = load_audio_encoder(models["ast"][0])
    windows, lengths = windows_of(encoder, 1.0)
    for wrong, counts, problem in (
        (windows[0], lengths, "must be windows"),
        (windows[..., :16], lengths, "128 frames with 32 values"),
        (windows, lengths.float(), "sound_lengths must count"),
        (windows, lengths + 100, "between 0 and the 128 frames"),
        (windows * np.nan, lengths, "NaN or infinite"),
    ):
        with pytest.raises(InputError, match=problem):
            encoder.encode(wrong, counts)
