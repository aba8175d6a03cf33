"""The peers of the race of attention: they attend, and learn."""

from __future__ import annotations

import pytest
import torch

from pseudocap.bench.speed.attention import B, D, E, L, S, Stack


@pytest.mark.parametrize("kind", ["separable", "full", "resampler-2"])
def test_every_peer_attends_to_every_frame_and_trains_all_it_has(kind: str) -> None:
    stack = Stack(kind, feed_forward=False, adapters=2)
    features, words = torch.randn(B, 2, S, E), torch.randn(B, L, D)
    out = stack(words, features)
    assert out.shape == words.shape
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
    features[:, 1] += 3.0
    assert not torch.allclose(stack(words, features), out)
