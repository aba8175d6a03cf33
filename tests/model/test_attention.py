from __future__ import annotations

import math

import pytest
import torch

from pseudocap.model.attention import AxisAttention, SeparableCrossAttention
from pseudocap.types import VideoMemory

WIDTH, MEMORY, HEADS = 12, 6, 3


def make_memory(videos: int, frames: int, patches: int) -> VideoMemory:
    return VideoMemory(
        time=torch.randn(videos, frames, MEMORY),
        space=torch.randn(videos, patches, MEMORY),
        time_mask=torch.ones(videos, frames, dtype=torch.bool),
        space_mask=torch.ones(videos, patches, dtype=torch.bool),
    )


def naive_axis(attention: AxisAttention, h_LD: torch.Tensor, axis_SE: torch.Tensor) -> torch.Tensor:
    """One video, one caption, one head, one word at a time."""
    normed = torch.nn.functional.layer_norm(axis_SE, (MEMORY,), attention.norm.weight, attention.norm.bias)
    q, k, v = (
        h_LD @ attention.query.weight.T,
        normed @ attention.key.weight.T,
        normed @ attention.value.weight.T,
    )
    K = WIDTH // HEADS
    out = torch.zeros_like(q)
    for word in range(len(h_LD)):
        for head in range(HEADS):
            columns = slice(head * K, (head + 1) * K)
            scores = torch.stack([q[word, columns] @ key[columns] / math.sqrt(K) for key in k])
            weights = scores.exp() / scores.exp().sum()
            out[word, columns] = sum(weight * value[columns] for weight, value in zip(weights, v, strict=True))
    return out


def test_the_separable_attention_equals_a_naive_loop() -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(2, 3, WIDTH)
    out = attention(h, attention.project(memory))
    for video in range(2):
        both = [
            naive_axis(attention.time, h[video], memory.time[video]),
            naive_axis(attention.space, h[video], memory.space[video]),
        ]
        torch.testing.assert_close(out[video], torch.cat(both, dim=-1) @ attention.mix.weight.T, atol=1e-5, rtol=1e-5)


def test_captions_of_one_video_share_its_keys_without_expansion() -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(6, 3, WIDTH)
    shared = attention.project(memory)
    repeated = attention.project(memory[torch.tensor([0, 0, 0, 1, 1, 1])])
    assert shared.time.k_BHSK.shape[0] == 2
    torch.testing.assert_close(attention(h, shared), attention(h, repeated))


@pytest.mark.parametrize("axis", ["time", "space"])
def test_what_a_mask_hides_changes_nothing(axis: str) -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(1, 4, 4), torch.randn(1, 3, WIDTH)
    getattr(memory, f"{axis}_mask")[0, 3:] = False
    before = attention(h, attention.project(memory))
    getattr(memory, axis)[0, 3:] = 50.0
    assert torch.equal(attention(h, attention.project(memory)), before)
    getattr(memory, axis)[0, :3] += 1.0 * torch.randn(3, MEMORY)
    assert not torch.allclose(attention(h, attention.project(memory)), before)


def test_a_mask_that_hides_nothing_may_be_left_out() -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(2, 3, WIDTH)
    lean = attention.project(memory, padded=False)
    assert lean.time.mask_B11S is None
    torch.testing.assert_close(attention(h, lean), attention(h, attention.project(memory)))
