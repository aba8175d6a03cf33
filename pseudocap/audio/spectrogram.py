"""Compute log-mel spectrograms as the field's encoders take them, in numpy.

`log_mel` is Kaldi's filter bank: what transformers' ASTFeatureExtractor computes before it normalises, without torch
or torchaudio. `AST`, `VALOR` and `VIDEOCC` are the published parameters. Whisper's spectrogram and plain waveforms come
from `sound_windows`, which cuts the sound of a clip into the windows of any encoder.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from pseudocap.errors import InputError
from pseudocap.types import SoundPreprocess

AST = SoundPreprocess()  # 10.24 s
VALOR = SoundPreprocess(bins=64, frames=512, window_function="hamming")  # 5.12 s
VIDEOCC = SoundPreprocess(bins=128, frames=800, hop=480, window_function="hamming")  # 24 s
LOWEST = 20.0  # Hz of Kaldi's filters
PREEMPHASIS = 0.97
FLOOR = 1.192092955078125e-07  # of float32, below which Kaldi takes no logarithm
WHISPER_FLOOR, WHISPER_RANGE = 1e-10, 8.0


def log_mel(
    sound: np.ndarray,
    *,
    rate: int = 16000,
    bins: int = 128,
    frames: int | None = 1024,
    window: Literal["hann", "hamming"] = "hann",
    length: int | None = None,
    hop: int | None = None,
) -> np.ndarray:
    """Return Kaldi's log-mel of mono sound, float32 [frames, bins], cut or padded with zeros; None keeps its length.

    A window has `length` samples and the next one begins `hop` later: 25 and 10 ms unless given. Sound that is shorter
    than a window has one frame.
    """
    length, hop = length or rate * 25 // 1000, hop or rate // 100
    _check(sound)
    if frames is not None:
        sound = sound[: (frames - 1) * hop + length]
    if 0 < len(sound) < length:
        sound = np.pad(sound, (0, length - len(sound)))
    count = 0 if not len(sound) else 1 + (len(sound) - length) // hop
    mel = np.zeros((count if frames is None else frames, bins), np.float32)
    if count:
        cut = np.lib.stride_tricks.sliding_window_view(sound, length)[::hop].astype(np.float64)
        cut -= cut.mean(axis=1, keepdims=True)
        cut[:, 1:] -= PREEMPHASIS * cut[:, :-1]
        cut[:, 0] *= 1 - PREEMPHASIS
        fft = 1 << (length - 1).bit_length()
        power = np.abs(np.fft.rfft(cut * _window(window, length), fft)) ** 2
        mel[:count] = np.log(np.maximum(power @ _kaldi_filters(bins, fft, rate), FLOOR))
    return mel


def sound_windows(sound: np.ndarray, preprocess: SoundPreprocess) -> tuple[np.ndarray, np.ndarray]:
    """Cut the sound of a clip into an encoder's windows, float32 [W, frames, bins], normalised.

    Return with them how many frames of each are real, int64 [W]: all, but in the last one. No sound has no window.
    """
    _check(sound)
    cut = {"kaldi": _kaldi_windows, "whisper": _whisper_windows, "waveform": _waveform_windows}[preprocess.features]
    windows, real = cut(sound, preprocess)
    lengths = np.clip(real - np.arange(len(windows)) * preprocess.frames, 0, preprocess.frames)
    return windows.astype(np.float32, copy=False), lengths.astype(np.int64)


def _kaldi_windows(sound: np.ndarray, preprocess: SoundPreprocess) -> tuple[np.ndarray, int]:
    settings = {"rate": preprocess.rate, "bins": preprocess.bins, "length": preprocess.window, "hop": preprocess.hop}
    mel = log_mel(sound, frames=None, window=preprocess.window_function, **settings)
    padded = _padded(mel, preprocess.frames)
    assert preprocess.mean is not None  # SoundPreprocess sees to it
    normalised = (padded - preprocess.mean) / (2 * preprocess.std)
    return normalised.reshape(-1, preprocess.frames, preprocess.bins), len(mel)


def _whisper_windows(sound: np.ndarray, preprocess: SoundPreprocess) -> tuple[np.ndarray, int]:
    length, hop = preprocess.window, preprocess.hop
    filters = _slaney_filters(preprocess.bins, length, preprocess.rate)
    taper = np.hanning(length + 1)[:-1]
    windows = []
    for part in _padded(sound, preprocess.frames * hop).reshape(-1, preprocess.frames * hop):
        edged = np.pad(part.astype(np.float64), length // 2, mode="reflect")
        cut = np.lib.stride_tricks.sliding_window_view(edged, length)[::hop][: preprocess.frames]
        power = np.abs(np.fft.rfft(cut * taper)) ** 2
        log = np.log10(np.maximum(power @ filters, WHISPER_FLOOR))
        windows.append((np.maximum(log, log.max() - WHISPER_RANGE) + 4) / 4)
    stacked = np.stack(windows) if windows else np.zeros((0, preprocess.frames, preprocess.bins))
    return stacked, -(-len(sound) // hop)


def _waveform_windows(sound: np.ndarray, preprocess: SoundPreprocess) -> tuple[np.ndarray, int]:
    windows = _padded(sound, preprocess.frames).reshape(-1, preprocess.frames, 1).astype(np.float64)
    for number, window in enumerate(windows):
        real = window[: len(sound) - number * preprocess.frames]
        if preprocess.mean is None:
            real[:] = (real - real.mean()) / np.sqrt(real.var() + 1e-7)  # as transformers does
        else:
            real[:] = (real - preprocess.mean) / (2 * preprocess.std)
    return windows, len(sound)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Pad with zeros to a multiple of a size."""
    return np.pad(values, [(0, -len(values) % size), *[(0, 0)] * (values.ndim - 1)])


def _check(sound: np.ndarray) -> None:
    if not isinstance(sound, np.ndarray) or sound.ndim != 1 or not np.issubdtype(sound.dtype, np.floating):
        found = f"{sound.dtype} {list(sound.shape)}" if isinstance(sound, np.ndarray) else type(sound).__name__
        raise InputError(f"sound must be mono, an array of floats [samples] as read_sound returns it, not {found}")


@functools.cache
def _window(name: str, length: int) -> np.ndarray:
    return np.hamming(length) if name == "hamming" else np.hanning(length)


@functools.cache
def _kaldi_filters(bins: int, fft: int, rate: int) -> np.ndarray:
    """Return triangles [fft / 2 + 1, bins] that are even on Kaldi's mel scale."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(hertz) / 700)

    edges = np.linspace(mel(LOWEST), mel(rate // 2), bins + 2)
    return _triangles(mel(np.arange(fft // 2 + 1) * (rate / fft)), edges)


@functools.cache
def _slaney_filters(bins: int, fft: int, rate: int) -> np.ndarray:
    """Return triangles [fft / 2 + 1, bins] of equal areas: Slaney's scale is linear to 1 kHz, and logarithmic above."""
    highest = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, highest, bins + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    return _triangles(np.linspace(0, rate / 2, fft // 2 + 1), edges) * (2 / (edges[2:] - edges[:-2]))


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    slopes = edges[None] - points[:, None]
    widths = np.diff(edges)
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    return np.maximum(0, np.minimum(rising, falling))
