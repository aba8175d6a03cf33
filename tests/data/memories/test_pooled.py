"""One vector a clip: the mean of each axis of sight at length one, in the order that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pseudocap.data.memories.pooled import pooled_vectors
from pseudocap.data.memories.shards import ShardVectors, create, write_shard
from pseudocap.data.memories.source import Described, MemoryRow, MemorySource, ShardIndex
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.errors import DataError
from pseudocap.memory import Axis, Memory
from pseudocap.types import Preprocess

SPEC = MemorySpec(encoder="e" * 64, preprocess=Preprocess(size=32, frames=3), crops=0)


def stored(folder: Path, memories: list[Memory], axes: tuple[str, ...] = ("time", "space")) -> MemorySource:
    spec = replace(SPEC, axes=axes)
    create(folder, spec)
    vectors = ShardVectors(spec, samples=len(memories))
    for memory in memories:
        vectors.add(memory)
    of = [Described(key=f"{n}", content=f"c{n}", modality="video", captions=("a",)) for n in range(len(memories))]
    rows = tuple(MemoryRow(of=one, place=n) for n, one in enumerate(of))
    write_shard(folder, 0, vectors.tensors(), ShardIndex(source="s", next=len(rows), rows=rows))
    return MemorySource(folder)


def test_a_clip_is_the_mean_of_each_axis_at_length_one_whatever_its_number_of_frames(tmp_path: Path) -> None:
    clips = [Memory.of_sight(time=torch.randn(1, n, 6), space=100 * torch.randn(1, 4, 6)) for n in (3, 1, 2)]
    found = pooled_vectors(stored(tmp_path / "m", clips), [2, 0])
    assert (found.shape, found.dtype) == ((2, 12), np.float32)
    for vector, clip in zip(found, (clips[2], clips[0]), strict=True):
        for part, axis in zip(np.split(vector, 2), (clip.time, clip.space), strict=True):
            mean = axis[0].numpy().mean(axis=0)
            np.testing.assert_allclose(part, mean / np.linalg.norm(mean), atol=2e-3)


def test_sound_alone_is_nothing_that_clips_look_like(tmp_path: Path) -> None:
    sound = Memory({"sound": Axis(torch.randn(1, 3, 5), torch.ones(1, 3, dtype=torch.bool))})
    with pytest.raises(DataError, match="has no memory of pictures"):
        pooled_vectors(stored(tmp_path / "m", [sound], axes=("sound",)), [0])
