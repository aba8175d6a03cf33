"""Let a language model read a video in its own self-attention, as VideoCC's captioner does (4.2).

The vectors of the memory, projected to the width of its embeddings, are read before the words by the very same layers.
No vector sees a word, so a video is read once, and every caption of it goes on from there. The paper trains the
language model too (`learn_decoder`). Which position the vectors have, the paper leaves open; here
all of them have the first.

Legend: B videos, N captions (a multiple of B), M vectors of a video, E width of an axis, D width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pseudocap.memory import AXES, Axis, Memory
from pseudocap.model.attention import START


class Context(nn.Module):
    """Turn a memory into vectors [B,M,D] that a language model can read: of each axis, normalised and projected."""

    def __init__(self, *, width: int, memory_widths: Mapping[str, int]) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(each), nn.Linear(each, width)) for name, each in memory_widths.items()}
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=START)
                nn.init.zeros_(module.bias)

    def forward(self, memory: Memory) -> Axis:
        """Join the axes that are there, in their order."""
        found = [name for name in AXES if name in self.inputs and name in memory.axes]
        vectors = [self.inputs[name](memory.axes[name].vectors) for name in found]
        return Axis(torch.cat(vectors, dim=1), torch.cat([memory.axes[name].mask for name in found], dim=1))
