"""Captioners that hear, and memories with and without sound to learn from, without an audio encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pseudocap import PseudoCap
from pseudocap.data.stream.sources import Described
from pseudocap.memory import Axis, Memory
from pseudocap.model.network import seeded
from pseudocap.types import Modality, Sample

SOUND = 10  # the width of its vectors; those of sight are 16 wide
TEXTS = ("a red square moves left", "a blue square moves right", "two dogs play", "a ball falls", "a cat runs by")


def hearing(model: PseudoCap) -> PseudoCap:
    """Let a captioner attend to sound, which its config then names."""
    with seeded(7):
        model.decoder.grow_axis("sound", memory_width=SOUND)
    model.config = replace(model.config, axes=("time", "space", "sound"))
    return model


class HeardSource:
    """Draw stored memories of sight, with so many moments of sound each; what is silent has no such axis."""

    groups: Sequence[int]
    identity = "heard"

    def __init__(self, *moments: int, modality: Modality = "video") -> None:
        self.moments, self.modality = moments, modality
        self.groups = (len(moments),)
        self.rows = tuple(
            Described(key=self.name(index), content=str(index), modality=modality, captions=self.captions(index))
            for index in range(len(moments))
        )

    def captions(self, index: int) -> tuple[str, ...]:
        text = TEXTS[index % len(TEXTS)]
        return text, f"here {text}"

    def name(self, index: int) -> str:
        return f"clip {index}"

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        draws = torch.Generator().manual_seed(index)
        counts = {"time": (4, 16), "space": (4, 16), "sound": (self.moments[index], SOUND)}
        axes = {
            name: Axis(torch.randn(1, *shape, generator=draws), torch.ones(1, shape[0], dtype=torch.bool))
            for name, shape in counts.items()
            if shape[0]
        }
        return Sample(key=self.name(index), modality=self.modality, captions=self.captions(index), memory=Memory(axes))
