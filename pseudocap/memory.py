"""Hold the memory of a video: what frozen encoders return, pooled, on named axes.

Pooling happens once, at the end of an encoder; adapters, caches, generation and indices read these few dozen vectors.
Sight has `time`, the maximum over the patches of a frame, and `space`, the maximum over the frames at a patch. Sound
has `sound`, one vector per moment, and `pitch`, one per band of frequency.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pseudocap.errors import InputError, nearest

if TYPE_CHECKING:
    import torch

SIGHT = ("time", "space")
SOUND = ("sound", "pitch")
AXES = (*SIGHT, *SOUND)  # the order that they always have
GROUPS = {"av": AXES, "v": SIGHT, "a": SOUND}  # of modalities, with the axes that each keeps


@dataclass(slots=True)
class Axis:
    """Hold vectors [B,N,E] of B videos on one axis. In the mask [B,N] True is real; padding is zero and never read."""

    vectors: torch.Tensor
    mask: torch.Tensor

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Axis:
        """Return the axis with both tensors changed."""
        return Axis(change(self.vectors), change(self.mask))


@dataclass(slots=True)
class Memory:
    """Hold what encoders return for B videos: axes by name, each with its mask, in the order of AXES.

    An axis that a video lacks (a silent file has no `sound`) is absent, of length zero, or masked out, all of which
    mean the same. `patches` [B,T,S,E] is everything that `time` and `space` were pooled from, kept for the attentions
    that read it and None elsewhere. Not frozen, because Lightning rebuilds the values of a batch field by field on
    their way to a device.
    """

    axes: dict[str, Axis]
    patches: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in self.axes:
            if name not in AXES:
                raise InputError(f"a memory has no axis {name!r}{nearest(name, AXES)}; there are {', '.join(AXES)}")
        if not self.axes:
            raise InputError(f"a memory needs at least one axis of {', '.join(AXES)}")
        self.axes = {name: self.axes[name] for name in AXES if name in self.axes}

    @classmethod
    def of_sight(
        cls,
        *,
        time: torch.Tensor,
        space: torch.Tensor,
        time_mask: torch.Tensor | None = None,
        space_mask: torch.Tensor | None = None,
        patches: torch.Tensor | None = None,
    ) -> Memory:
        """Build the memory of pictures alone. Without a mask all vectors are real."""
        import torch

        def axis(vectors: torch.Tensor, mask: torch.Tensor | None) -> Axis:
            real = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device) if mask is None else mask
            return Axis(vectors, real)

        return Memory({"time": axis(time, time_mask), "space": axis(space, space_mask)}, patches)

    @property
    def time(self) -> torch.Tensor:
        """Return one vector per frame [B,T,E]."""
        return self.axes["time"].vectors

    @property
    def time_mask(self) -> torch.Tensor:
        """Return which frames are real [B,T]."""
        return self.axes["time"].mask

    @property
    def space(self) -> torch.Tensor:
        """Return one vector per patch [B,S,E]."""
        return self.axes["space"].vectors

    @property
    def space_mask(self) -> torch.Tensor:
        """Return which patches are real [B,S]."""
        return self.axes["space"].mask

    def __len__(self) -> int:
        return len(next(iter(self.axes.values())).vectors)

    def __getitem__(self, rows: slice | torch.Tensor) -> Memory:
        """Return the memories of some videos as a batch: `memory[:2]`, or of one as `memory[i : i + 1]`."""
        if isinstance(rows, int):
            raise TypeError(f"a memory is a batch: take memory[{rows} : {rows + 1}] for one video")
        return self.each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Memory:
        """Move everything, and cast the vectors (the masks stay boolean)."""
        return self.each(lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None))

    def having(self, group: str) -> torch.Tensor:
        """Return which videos have something of a group of GROUPS [B]."""
        own = [axis.mask.any(dim=1) for name, axis in self.axes.items() if name in GROUPS[group]]
        return functools.reduce(operator.or_, own, next(iter(self.axes.values())).mask.new_zeros(len(self)))

    def only(self, group: str) -> Memory:
        """Return the memory of a group of GROUPS alone: what is of another modality is masked, but for the videos that
        have nothing of the group, which stay as they are. An axis that is masked in every video is left out."""
        if group not in GROUPS:
            raise InputError(f"modalities are one of {', '.join(GROUPS)}, not {group!r}{nearest(group, GROUPS)}")
        axes = {name: axis for name, axis in self.axes.items() if name in GROUPS[group]}
        if len(axes) in (0, len(self.axes)):
            return self
        others = ~self.having(group)
        if bool(others.any()):
            masked = {name: Axis(axis.vectors, axis.mask & others[:, None]) for name, axis in self.axes.items()}
            axes = {**masked, **axes}
        return Memory(axes, self.patches)

    def pin_memory(self) -> Memory:
        """Copy into page-locked memory, from which a GPU copies while it computes: what PyTorch's loaders call."""
        return self.each(lambda tensor: tensor.pin_memory())

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Memory:
        """Return the memory with every tensor changed."""
        axes = {name: axis.each(change) for name, axis in self.axes.items()}
        return Memory(axes, None if self.patches is None else change(self.patches))


class _AnyMemory(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Memory)


class VideoMemory(Memory, metaclass=_AnyMemory):
    """Build a Memory under its name of version 0.1, from the fields of then."""

    __slots__ = ()

    def __new__(cls, **fields: Any) -> Memory:  # type: ignore[misc]  # a Memory, whatever it is called
        return Memory.of_sight(**fields)


def quantise(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return int8 of the same shape, and a float32 scale for each vector: its largest value is 127."""
    import torch

    scale = vectors.float().abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (vectors.float() / scale).round().to(torch.int8), scale
