"""Hold what a decoder's forward pass reads, and what its layers are conditioned on.

Legend: N captions, L tokens, D decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import Cache

from pseudocap.memory import Axis
from pseudocap.model.attention import Projected
from pseudocap.model.packing import Packing


@dataclass(frozen=True, slots=True)
class ProjectedMemory:
    """Hold the videos as every adapter sees them, by the index of the layer behind the adapter; or, where there are no
    adapters, as the vectors of each that are read before its words."""

    layers: dict[int, Projected]
    context: Axis | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Hold what one forward pass reads, beside the `cache` of what came before. `packed` rows hold several texts, whose
    positions start from 0 each and which must not attend to one another; they come without a mask. Vectors that are
    read in place of words come as `embeds_NLD`."""

    ids_NL: torch.Tensor
    positions_NL: torch.Tensor
    mask: torch.Tensor | None
    cache: Cache | None
    packed: bool
    embeds_NLD: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Hold what one forward pass is conditioned on. Without a memory the layers are the plain model's."""

    adapters: nn.ModuleDict
    memory: ProjectedMemory | None
    packing: Packing | None = None

    def before(self, layer: int, h_NLD: torch.Tensor) -> torch.Tensor:
        """Return the hidden states as a layer sees them: through the adapter that stands before it, if any."""
        if self.memory is None or layer not in self.memory.layers:
            return h_NLD
        seen = self.memory.layers[layer]
        seen = seen if self.packing is None else replace(seen, packing=self.packing)
        adapted_NLD: torch.Tensor = self.adapters[str(layer)](h_NLD, seen)
        return adapted_NLD
