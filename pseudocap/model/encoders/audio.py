"""Encode sound with a frozen audio model, pooled to a few vectors a second.

A clip's sound comes as windows of the length that the model takes (`audio.spectrogram.sound_windows`). Of each window's
grid over pitch and time `sound` is the maximum over pitch, and neighbours in time are pooled by the maximum to
`preprocess.moments` a second; `pitch`, where it is asked for, is the maximum over the time of all windows. What lies
after the end of the sound is masked. Each window is encoded by itself, so a sinusoid of its number is added to the
vectors of all but the first.

Legend of the shape suffixes: B clips, W windows, F frames of a window, M values of a frame, N windows that are real, P
pitch, T time, K moments of a window, E width.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, InputError, first_line
from pseudocap.files.sources import read_json
from pseudocap.memory import Axis, Memory
from pseudocap.model.encoders.audio_models import (
    WHISPER,
    WHISPER_PREFIX,
    AudioModel,
    processor_document,
    read_audio_model,
)
from pseudocap.model.encoders.base import FrozenNetwork
from pseudocap.model.encoders.frames import sinusoids
from pseudocap.model.weights import fingerprint, in_8_bits, write_checkpoint
from pseudocap.types import SoundPreprocess

SETTINGS = "pseudocap"  # in config.json: moments and pitch, where they are not the defaults
WINDOWS_AT_ONCE = 8


class AudioEncoder(FrozenNetwork):
    """Encode windows of sound [B,W,F,M] as a Memory with the axis `sound`, and `pitch` on demand."""

    kind = "audio"
    rows = 1  # patches that the vector of a moment holds, one after another

    def __init__(self, model: AudioModel, *, moments: float | None = None, pitch: bool = False) -> None:
        super().__init__()
        network: Any = model.network
        self.network = network
        self._config = network.config
        self._width = int(self._config.hidden_size)
        self._own, self._grid, self._stride = model.preprocess, model.grid, model.stride
        self.preprocess = self._own if moments is None else dataclasses.replace(self._own, moments=moments)
        self.axes = axes_of(pitch=pitch)

    def set_preprocess(self, preprocess: SoundPreprocess) -> None:
        """Take sound that is prepared otherwise than the checkpoint says, such as to other moments, if it can be."""
        free = {"moments", "frames"} if preprocess.features == "waveform" else {"moments"}
        for name in (field.name for field in dataclasses.fields(SoundPreprocess) if field.name not in free):
            own, given = getattr(self._own, name), getattr(preprocess, name)
            if own != given:
                raise ConfigError(f"sound_preprocess.{name} is {given!r}, and the audio encoder takes {own!r} alone")
        self.preprocess = preprocess

    def width(self, axis: str) -> int:
        return self._width

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Return the repeated layers: the longest list of modules."""
        lists = [list(module) for module in self.network.modules() if isinstance(module, nn.ModuleList)]
        return max(lists, key=len, default=[self.network])

    def compute_fingerprint(self, stored: Mapping[str, torch.Tensor] | None = None) -> str:
        """Hash the weights as they are now, or `stored` where their names in memory are a library version's."""
        tensors = self.network.state_dict() if stored is None else stored
        return fingerprint([*tensors.items(), (self._config.model_type, torch.zeros(1))])

    def forward(self, windows_NFM: torch.Tensor) -> torch.Tensor:
        """Return the grid [N,P,T,E] of each window."""
        return self._grid(self.network, windows_NFM.to(self.dtype))

    def encode(self, windows_BWFM: torch.Tensor, lengths_BW: torch.Tensor) -> Memory:
        """Return the vectors of each clip, with gradients only if it `learns`. `lengths` count the real frames of each
        window, 0 where a clip has no such window: a clip of zeros alone has no sound, and all of its vectors are
        masked."""
        self.check_windows(windows_BWFM, lengths_BW)
        real_BW = (lengths_BW > 0).to(windows_BWFM.device)
        if not bool(real_BW.any()):
            return self._silent(len(real_BW), windows_BWFM.device)
        lengths_N = lengths_BW.to(windows_BWFM.device)[real_BW]
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            batches = zip(windows_BWFM[real_BW].split(WINDOWS_AT_ONCE), lengths_N.split(WINDOWS_AT_ONCE), strict=True)
            pooled = [self._pool(self(windows), lengths) for windows, lengths in batches]
            sound_NKE, mask_NK, pitch_NPE = (torch.cat(parts) for parts in zip(*pooled, strict=True))
            numbers_N = real_BW.nonzero()[:, 1]
            signal_NE = sinusoids(numbers_N, self._width) - sinusoids(torch.zeros_like(numbers_N), self._width)
            sound_NKE = (sound_NKE + signal_NE[:, None].to(sound_NKE.dtype)).masked_fill(~mask_NK[..., None], 0)
            sound_BWKE = sound_NKE.new_zeros(*real_BW.shape, *sound_NKE.shape[1:])
            mask_BWK = mask_NK.new_zeros(*real_BW.shape, *mask_NK.shape[1:])
            sound_BWKE[real_BW], mask_BWK[real_BW] = sound_NKE, mask_NK
            axes = {"sound": Axis(sound_BWKE.flatten(1, 2), mask_BWK.flatten(1, 2))}
            if "pitch" in self.axes:
                axes["pitch"] = _pitch(pitch_NPE, real_BW)
            return Memory(axes)

    def _pool(
        self, grid_NPTE: torch.Tensor, lengths_N: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return moments [N,K,E], which of them are real [N,K], and the maximum over real time [N,P,E]."""
        steps = grid_NPTE.shape[2]
        begins_T = torch.arange(steps, device=grid_NPTE.device) * self._stride
        hidden_NT = begins_T >= lengths_N[:, None]
        hidden_NT[:, 0] = False  # a window has at least one moment
        grid_NPTE = grid_NPTE.masked_fill(hidden_NT[:, None, :, None], -torch.inf)
        count = max(1, min(steps, round(self.preprocess.seconds * self.preprocess.moments)))
        return *pool_time(grid_NPTE.amax(dim=1), ~hidden_NT, count), grid_NPTE.amax(dim=2)

    def check_windows(self, windows_BWFM: torch.Tensor, lengths_BW: torch.Tensor) -> None:
        """Raise InputError where windows or their lengths are not what the encoder takes."""
        frames, bins = self.preprocess.frames, self.preprocess.bins
        if not isinstance(windows_BWFM, torch.Tensor) or windows_BWFM.dim() != 4:
            shape = getattr(windows_BWFM, "shape", None)
            raise InputError(f"sound must be windows [B, W, {frames}, {bins}], not {shape and list(shape)}")
        if tuple(windows_BWFM.shape[2:]) != (frames, bins) or not windows_BWFM.is_floating_point():
            found = f"{windows_BWFM.dtype} {list(windows_BWFM.shape)}"
            raise InputError(f"this encoder takes windows of {frames} frames with {bins} values each, not {found}")
        if lengths_BW.shape != windows_BWFM.shape[:2] or lengths_BW.is_floating_point():
            raise InputError(
                f"sound_lengths must count the frames of {list(windows_BWFM.shape[:2])} windows, "
                f"not {lengths_BW.dtype} {list(lengths_BW.shape)}"
            )
        if lengths_BW.numel() and not 0 <= int(lengths_BW.min()) <= int(lengths_BW.max()) <= frames:
            raise InputError(f"sound_lengths must lie between 0 and the {frames} frames of a window")
        if not bool(torch.isfinite(windows_BWFM).all()):
            raise InputError("sound holds NaN or infinite values; check the decoding and the normalisation before")

    def _silent(self, clips: int, device: torch.device) -> Memory:
        """Return axes of one masked vector."""
        vectors = torch.zeros(clips, 1, self._width, device=device, dtype=self.dtype)
        mask = torch.zeros(clips, 1, dtype=torch.bool, device=device)
        return Memory({name: Axis(vectors.clone(), mask.clone()) for name in self.axes})

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        """Read an audio model of transformers; its config.json may set moments and pitch."""
        settings: Any = read_json(config).get(SETTINGS) or {}
        model = read_audio_model(source, access)
        try:
            encoder = cls(model, **settings)
        except (TypeError, ConfigError) as error:
            raise CheckpointError(f"{config}: {SETTINGS} is wrong: {first_line(error)}") from error
        return encoder, encoder.compute_fingerprint(model.stored)

    def save_pretrained(self, path: str | Path, *, int8: bool = False) -> None:
        """Write the network in transformers' format with how it is prepared and pooled; in 8 bits for `load` alone."""
        model_config = self._config
        document = {
            **model_config.to_dict(),
            SETTINGS: {"moments": self.preprocess.moments, "pitch": "pitch" in self.axes},
        }
        prefix = WHISPER_PREFIX if model_config.model_type == WHISPER else ""
        tensors = {prefix + name: tensor for name, tensor in self.network.state_dict().items()}
        write_checkpoint(
            Path(path),
            weights="model.safetensors",
            tensors=in_8_bits(tensors) if int8 else tensors,
            config="config.json",
            document=document,
            beside={"preprocessor_config.json": json.dumps(processor_document(self.preprocess), indent=2) + "\n"},
        )


def pool_time(vectors_NTE: torch.Tensor, real_NT: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool neighbours in time by their maximum to `count` moments [N,K,E], with which of them hold something real."""
    steps = vectors_NTE.shape[1]
    bounds = [math.ceil(moment * steps / count) for moment in range(count + 1)]
    pooled_NKE = torch.stack([vectors_NTE[:, a:b].amax(dim=1) for a, b in pairwise(bounds)], dim=1)
    mask_NK = torch.stack([real_NT[:, a:b].any(dim=1) for a, b in pairwise(bounds)], dim=1)
    return pooled_NKE, mask_NK


def axes_of(*, pitch: bool) -> tuple[str, ...]:
    """Return the axes of a memory of sound."""
    return ("sound", "pitch") if pitch else ("sound",)


def _pitch(pitch_NPE: torch.Tensor, real_BW: torch.Tensor) -> Axis:
    """Pool the windows of each clip."""
    pitch_BWPE = pitch_NPE.new_full((*real_BW.shape, *pitch_NPE.shape[1:]), -torch.inf)
    pitch_BWPE[real_BW] = pitch_NPE
    mask_BP = real_BW.any(dim=1, keepdim=True).expand(-1, pitch_NPE.shape[1])
    return Axis(pitch_BWPE.amax(dim=1).masked_fill(~mask_BP[..., None], 0), mask_BP.clone())
