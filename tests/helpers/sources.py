"""Sources of numbered samples, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from helpers.tars import SMALL
from pseudocap.data.stream.batches import Stream, TrainingBatches
from pseudocap.data.stream.mixture import Mixture
from pseudocap.data.stream.sources import Source, TarSource
from pseudocap.data.tars.index import index_tars
from pseudocap.errors import DataError
from pseudocap.types import Modality, Sample


class Counting:
    """A source of numbers that records its requests; `broken` ones cannot be decoded."""

    modality: Modality = "video"

    def __init__(self, groups: Sequence[int], broken: Sequence[int] = ()) -> None:
        self.groups, self.identity = tuple(groups), "counting"
        self.broken, self.requested = set(broken), []

    def name(self, index: int) -> str:
        return f"sample {index}"

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        self.requested.append(index)
        if index in self.broken:
            raise DataError("it is broken")
        noise = torch.zeros(1) if generator is None else torch.rand(1, generator=generator)
        frames = noise.view(1, 1, 1, 1).expand(1, 3, 1, 1)
        return Sample(key=str(index), modality="video", captions=("a", "b", "c", "d"), frames=frames)


def batches(source: Source, *, size: int = 4, rank: int = 0, ranks: int = 1, mix: int = 6) -> TrainingBatches:
    probabilities = {source.modality: 1.0}
    mixture = Mixture(batch_size=size, probabilities=probabilities, image_batch_factor=1, rank=rank)
    return TrainingBatches({source.modality: Stream(source, seed=0, rank=rank, ranks=ranks, mix=mix)}, mixture)


def image_source(folder: Path) -> TarSource:
    return TarSource(index_tars(folder), SMALL, modality="image")
