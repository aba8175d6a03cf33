"""Spectrograms are those of transformers' feature extractors, for AST's, VALOR's and VideoCC's parameters too."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from helpers.sounding import heard
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from pseudocap.audio.spectrogram import AST, VALOR, VIDEOCC, log_mel, sound_windows
from pseudocap.errors import InputError
from pseudocap.types import SoundPreprocess

WHISPER = SoundPreprocess(features="whisper", bins=80, frames=3000)
WAVEFORM = SoundPreprocess(features="waveform", bins=1, frames=48000, window=1, hop=1, mean=None)


def noisy(seconds: float) -> np.ndarray:
    """The signal with noise, and a silence in which only the floor is left."""
    sound = heard(seconds) + np.random.default_rng(0).normal(0, 0.01, round(seconds * 16000)).astype(np.float32)
    sound[3000:6000] = 0
    return sound


@pytest.mark.parametrize("seconds", [0.5, 8.0, 12.0])
def test_log_mel_is_that_of_the_ast_feature_extractor(seconds: float) -> None:
    sound = noisy(seconds)
    for bins, frames in ((128, 1024), (64, 512)):
        extractor = ASTFeatureExtractor(num_mel_bins=bins, max_length=frames, do_normalize=False)
        wanted = extractor(sound, sampling_rate=16000)["input_values"][0]
        found = log_mel(sound, bins=bins, frames=frames)
        assert (found.dtype, found.shape) == (np.float32, (frames, bins))
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("preprocess", [VALOR, VIDEOCC])
def test_the_papers_parameters_give_what_transformers_gives_for_them(preprocess: SoundPreprocess) -> None:
    filters: dict[str, Any] = {"num_frequency_bins": 257, "min_frequency": 20, "max_frequency": 8000}
    bank = mel_filter_bank(
        num_mel_filters=preprocess.bins,
        sampling_rate=16000,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
        **filters,
    )
    options: dict[str, Any] = {"power": 2.0, "center": False, "preemphasis": 0.97, "remove_dc_offset": True}
    wanted = spectrogram(
        noisy(4.0),
        window_function(400, "hamming", periodic=False),
        frame_length=400,
        hop_length=preprocess.hop,
        fft_length=512,
        mel_filters=bank,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        **options,
    ).T
    found, lengths = sound_windows(noisy(4.0), preprocess)
    assert lengths.tolist() == [len(wanted)]
    np.testing.assert_allclose(found[0, : len(wanted)] * 2 * 4.5689974 - 4.2677393, wanted, atol=1e-4)


def test_the_papers_windows_have_the_lengths_of_the_papers() -> None:
    assert [(each.bins, each.frames, round(each.seconds, 2)) for each in (AST, VALOR, VIDEOCC)] == [
        (128, 1024, 10.24),
        (64, 512, 5.12),
        (128, 800, 24.0),
    ]


def test_windows_are_those_of_the_ast_feature_extractor_one_after_another() -> None:
    sound = noisy(12.0)
    windows, lengths = sound_windows(sound, AST)
    assert (windows.dtype, windows.shape, lengths.tolist()) == (np.float32, (2, 1024, 128), [1024, 174])
    extractor = ASTFeatureExtractor()
    for window, part in zip(windows, (sound, sound[1024 * 160 :]), strict=True):
        wanted = extractor(part, sampling_rate=16000)["input_values"][0]
        np.testing.assert_allclose(window, wanted, atol=1e-5)


def test_windows_of_whisper_are_those_of_its_feature_extractor() -> None:
    for bins in (80, 128):
        extractor = WhisperFeatureExtractor(feature_size=bins)
        windows, lengths = sound_windows(noisy(31.0), dataclasses.replace(WHISPER, bins=bins))
        assert (windows.shape, lengths.tolist()) == ((2, 3000, bins), [3000, 100])
        for window, part in zip(windows, (noisy(31.0)[:480000], noisy(31.0)[480000:]), strict=True):
            wanted = extractor(part, sampling_rate=16000)["input_features"][0]
            np.testing.assert_allclose(window, wanted.T, atol=1e-4)


def test_windows_of_a_waveform_are_those_of_its_feature_extractor() -> None:
    windows, lengths = sound_windows(noisy(2.0), WAVEFORM)
    assert (windows.shape, lengths.tolist()) == ((1, 48000, 1), [32000])
    wanted = Wav2Vec2FeatureExtractor()(noisy(2.0), sampling_rate=16000)["input_values"][0]
    np.testing.assert_allclose(windows[0, :32000, 0], wanted, atol=1e-4)
    assert not windows[0, 32000:].any()


@pytest.mark.parametrize("preprocess", [AST, WHISPER, WAVEFORM])
def test_no_sound_has_no_window_and_a_moment_has_one(preprocess: SoundPreprocess) -> None:
    windows, lengths = sound_windows(np.zeros(0, np.float32), preprocess)
    assert (windows.shape, lengths.shape) == ((0, preprocess.frames, preprocess.bins), (0,))
    windows, lengths = sound_windows(np.full(7, 0.1, np.float32), preprocess)
    assert (len(windows), np.isfinite(windows).all(), lengths[0] > 0) == (1, True, True)


def test_only_mono_floats_are_sound() -> None:
    for wrong in (np.zeros((2, 800), np.float32), np.zeros(800, np.int16)):
        with pytest.raises(InputError, match="sound must be mono"):
            sound_windows(wrong, AST)
