"""The values that travel between the stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pseudocap.errors import ConfigError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMemory:
    """What the encoder hands on of B videos: one vector per frame and one per patch, each with its mask.

    `time` [B,T,E] is the maximum over the patches of a frame, `space` [B,S,E] the maximum over the frames at a
    patch. In the masks True is real and False is padding; padding is zero and is never attended to.
    """

    time: torch.Tensor
    space: torch.Tensor
    time_mask: torch.Tensor
    space_mask: torch.Tensor

    def __len__(self) -> int:
        return self.time.shape[0]

    def __getitem__(self, rows: slice | torch.Tensor) -> VideoMemory:
        """The memories of some of the videos, as a batch."""
        return VideoMemory(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> VideoMemory:
        """Move everything, and cast the features (the masks stay boolean)."""
        return VideoMemory(
            time=self.time.to(device=device, dtype=dtype),
            space=self.space.to(device=device, dtype=dtype),
            time_mask=self.time_mask.to(device=device),
            space_mask=self.space_mask.to(device=device),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A stretch of a video file, in seconds from its first presented frame."""

    source: str
    start: float
    end: float

    @property
    def centre(self) -> float:
        """Where the one frame lies that a teacher labels."""
        return (self.start + self.end) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """What an encoder expects of a clip: `frames` square frames of `size` pixels, normalised per channel."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    frames: int

    def __post_init__(self) -> None:
        for name in ("size", "frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"preprocess: {name} is {getattr(self, name)} and must be at least 1")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ConfigError(
                    f"preprocess: {name} is {values} and must be three numbers, for red, green and blue"
                )
        if min(self.std) <= 0:
            raise ConfigError(f"preprocess: std is {self.std} and must be positive: frames are divided by it")
