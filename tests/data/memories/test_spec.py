"""The randomness of a stored view, and which pictures a folder of memories is of."""

from __future__ import annotations

from dataclasses import replace

import torch

from pseudocap.data.memories.spec import MemorySpec, view_generator
from pseudocap.types import Preprocess

SPEC = MemorySpec(encoder="x" * 64, preprocess=Preprocess(size=16, frames=4), crops=2, seed=3)


def drawn(seed: int, content: str, view: int) -> tuple[float, ...]:
    generator = view_generator(replace(SPEC, seed=seed), content, view)
    assert generator is not None
    return tuple(torch.rand(4, generator=generator).tolist())


def test_the_draws_of_a_view_are_a_function_of_seed_content_and_number() -> None:
    every = [(seed, content, view) for seed in (0, 3) for content in ("ab", "cd", "ab1") for view in (1, 2, 11)]
    assert len({drawn(*each) for each in every}) == len(every)
    assert drawn(3, "ab", 1) == drawn(3, "ab", 1)


def test_the_view_of_evaluation_draws_nothing() -> None:
    assert view_generator(SPEC, "ab", 0) is None
