"""Pool stored memories to one vector a clip, so that clips can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pseudocap.data.memories.source import MemorySource
from pseudocap.errors import DataError
from pseudocap.memory import SIGHT


def pooled_vectors(source: MemorySource, numbers: Sequence[int]) -> np.ndarray:
    """Return a vector [N,E] of each sample: the mean of each axis of sight in evaluation's view, at equal lengths."""
    names = [name for name in SIGHT if name in source.spec.axes]
    if not names:
        raise DataError(f"{source.folder} has no memory of pictures, and clips are compared by what they look like")
    vectors: np.ndarray | None = None
    for row, number in enumerate(numbers):
        axes = source.memory(number).axes
        parts = [torch.nn.functional.normalize(axes[name].vectors[0].mean(dim=0), dim=0) for name in names]
        pooled = torch.cat(parts).numpy()
        vectors = np.empty((len(numbers), len(pooled)), np.float32) if vectors is None else vectors
        vectors[row] = pooled
    assert vectors is not None, "somebody compares"
    return vectors
