"""Give square patches of frames, and of spectrograms, as they are: the encoders of a tower that learns to see and to
hear from the start, as VideoCC's does.

There are no weights. What learns is the tower above: a Retriever's with `media: bottleneck`.

Legend of the shape suffixes: B clips, T frames, S patches of a frame, E numbers of a patch, H and W pixels; N windows
of sound, F frames of a window, M bands, O steps of time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.sources import read_json
from pseudocap.model.bottleneck import picture_patches, spectrogram_patches
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.audio_models import AudioModel
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.weights import fingerprint, write_checkpoint
from pseudocap.types import MAX_FRAMES, Preprocess, SoundPreprocess

MODEL_TYPE, SPECTROGRAM = "pseudocap-pixels", "pseudocap-spectrogram"


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelsConfig:
    """Hold the side of a patch, and the frames that are expected unless a retriever says otherwise."""

    patch: int = 16
    size: int = 224
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    frames: int = 32

    def __post_init__(self) -> None:
        if isinstance(self.patch, bool) or not isinstance(self.patch, int) or self.patch < 1:
            raise ConfigError(f"encoder patch must be a whole number above 0, not {self.patch!r}")
        if self.preprocess.frames > MAX_FRAMES:
            raise ConfigError(f"encoder frames must be at most {MAX_FRAMES}, not {self.frames}")

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess(size=self.size, mean=self.mean, std=self.std, frames=self.frames)  # type: ignore[arg-type]


class PixelsEncoder(Encoder):
    """Cut frames into patches of pixels, along the rows."""

    kind = "pixels"

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__()
        self.config = config
        self.size_multiple = config.patch
        self.register_buffer("where", torch.zeros(0), persistent=False)  # which knows its device and its type
        self.check_size(config.size)

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        fields: dict[str, Any] = {name: value for name, value in read_json(config).items() if name != "model_type"}
        try:
            encoder = cls(PixelsConfig(**fields))
        except (ConfigError, TypeError) as error:
            raise CheckpointError(f"{config} describes no patches of pixels: {first_line(error)}") from error
        return encoder, encoder.compute_fingerprint()

    def document(self) -> dict[str, Any]:
        return {"model_type": MODEL_TYPE, **dataclasses.asdict(self.config)}

    @property
    def preprocess(self) -> Preprocess:
        return self.config.preprocess

    def width(self, axis: str) -> int:
        return 3 * self.config.patch**2

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self.config.patch, width // self.config.patch

    @property
    def layers(self) -> Sequence[nn.Module]:
        return []

    def compute_fingerprint(self) -> str:
        return fingerprint([(f"pixels of patches of {self.config.patch}", torch.zeros(1))])

    def forward(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Cut frames into patches; those of padded frames are zero."""
        self.check_frames(frames_BT3HW, frame_mask_BT)
        features_BTSE = picture_patches(frames_BT3HW.to(self.dtype), self.config.patch).vectors
        if frame_mask_BT is None:
            return features_BTSE
        return features_BTSE.masked_fill(~frame_mask_BT.to(features_BTSE.device)[:, :, None, None], 0)


class Strips(nn.Module):
    """Cut spectrograms [N,F,M] into strips [N,O,E] of `patch` moments, with the patches of all bands, low first."""

    def __init__(self, *, patch: int, bins: int) -> None:
        super().__init__()
        self.patch = patch
        self.config = SimpleNamespace(hidden_size=patch * bins, model_type=SPECTROGRAM)
        self.register_buffer("where", torch.zeros(0), persistent=False)

    def forward(self, windows_NFM: torch.Tensor) -> torch.Tensor:
        return spectrogram_patches(windows_NFM, self.patch).vectors.flatten(2)


class SpectrogramEncoder(AudioEncoder):
    """Give the patches of a log-mel spectrogram: a vector of `sound` for each step of time, without pooling."""

    kind = "spectrogram"

    def __init__(self, preprocess: SoundPreprocess, *, patch: int = 16) -> None:
        if isinstance(patch, bool) or not isinstance(patch, int) or patch < 1:
            raise ConfigError(f"patch must be a whole number above 0, not {patch!r}")
        if preprocess.frames % patch or preprocess.bins % patch:
            raise ConfigError(f"patch must divide {preprocess.frames} frames and {preprocess.bins} bins, not {patch}")
        steps = preprocess.frames // patch
        network = Strips(patch=patch, bins=preprocess.bins)
        every = dataclasses.replace(preprocess, moments=steps / preprocess.seconds)
        super().__init__(AudioModel(network=network, preprocess=every, grid=_as_grid, stride=patch, stored=None))
        self.patch, self.rows = patch, preprocess.bins // patch

    @classmethod
    def read(cls, source: str | Path, config: Path, access: Mapping[str, Any]) -> tuple[Self, str]:
        fields: dict[str, Any] = {name: value for name, value in read_json(config).items() if name != "model_type"}
        try:
            encoder = cls(SoundPreprocess(**fields.pop("preprocess")), **fields)
        except (ConfigError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{config} describes no patches of a spectrogram: {first_line(error)}") from error
        return encoder, encoder.compute_fingerprint()

    def compute_fingerprint(self, stored: Mapping[str, torch.Tensor] | None = None) -> str:
        return fingerprint([(f"spectrogram in patches of {self.patch}", torch.zeros(1))])

    def save_pretrained(self, path: str | Path, *, int8: bool = False) -> None:
        document = {"model_type": SPECTROGRAM, "patch": self.patch, "preprocess": dataclasses.asdict(self.preprocess)}
        write_checkpoint(Path(path), weights="model.safetensors", tensors={}, config="config.json", document=document)


def _as_grid(network: nn.Module, windows_NFM: torch.Tensor) -> torch.Tensor:
    grid_N1OE: torch.Tensor = network(windows_NFM)[:, None]
    return grid_N1OE
