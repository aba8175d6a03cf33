"""Give the pixels of square patches as they are: the encoder of towers that see from the pixels on, as VideoCC's does.

There are no weights. What learns is the tower above it: a Retriever's with `media: bottleneck`.

Legend of the shape suffixes: B clips, T frames, S patches of a frame, E numbers of a patch, H and W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.sources import read_json
from pseudocap.model.bottleneck import picture_patches
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.weights import fingerprint
from pseudocap.types import MAX_FRAMES, Preprocess

MODEL_TYPE = "pseudocap-pixels"


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

    @property
    def device(self) -> torch.device:
        return self._buffer.device

    @property
    def dtype(self) -> torch.dtype:
        return self._buffer.dtype

    @property
    def _buffer(self) -> torch.Tensor:
        return self.get_buffer("where")

    def compute_fingerprint(self) -> str:
        return fingerprint([(f"pixels of patches of {self.config.patch}", torch.zeros(1))])

    def forward(self, frames_BT3HW: torch.Tensor, frame_mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Cut frames into patches; those of padded frames are zero."""
        self.check_frames(frames_BT3HW, frame_mask_BT)
        features_BTSE = picture_patches(frames_BT3HW.to(self.dtype), self.config.patch).vectors
        if frame_mask_BT is None:
            return features_BTSE
        return features_BTSE.masked_fill(~frame_mask_BT.to(features_BTSE.device)[:, :, None, None], 0)
