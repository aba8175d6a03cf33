"""The values that travel between the stages."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

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

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> VideoMemory:
        """Move everything, and cast the features (the masks stay boolean)."""
        return VideoMemory(
            time=self.time.to(device=device, dtype=dtype),
            space=self.space.to(device=device, dtype=dtype),
            time_mask=self.time_mask.to(device=device),
            space_mask=self.space_mask.to(device=device),
        )
