from __future__ import annotations

import math

import pytest
import torch

from pseudocap.memory import Memory
from pseudocap.model.attention import AxisAttention, FullCrossAttention, SeparableCrossAttention

WIDTH, MEMORY, HEADS = 12, 6, 3


def make_memory(videos: int, frames: int, patches: int) -> Memory:
    return Memory.of_sight(
        time=torch.randn(videos, frames, MEMORY),
        space=torch.randn(videos, patches, MEMORY),
        patches=torch.randn(videos, frames, patches, MEMORY),
    )


def naive_axis(attention: AxisAttention, h_LD: torch.Tensor, axis_SE: torch.Tensor) -> torch.Tensor:
    """One video, one caption, one head, one word at a time."""
    heads, K = attention.heads, attention.query.out_features // attention.heads
    normed = torch.nn.functional.layer_norm(axis_SE, (MEMORY,), attention.norm.weight, attention.norm.bias)
    q, k, v = (
        h_LD @ attention.query.weight.T,
        normed @ attention.key.weight.T,
        normed @ attention.value.weight.T,
    )
    out = torch.zeros_like(q)
    for word in range(len(h_LD)):
        for head in range(heads):
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


# Every patch of every frame


def test_full_attention_over_one_patch_of_one_frame_is_that_patchs_value_for_every_word() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(1, 1, 1), torch.randn(1, 3, WIDTH)
    patch = torch.nn.functional.layer_norm(memory.patches[0, 0, 0], (MEMORY,))
    expected = attention.out.weight @ (attention.vectors.value.weight @ patch)
    out = attention(h, attention.project(memory))
    torch.testing.assert_close(out, expected.expand(1, 3, WIDTH), atol=1e-5, rtol=1e-5)


def test_full_attention_equals_a_naive_loop_over_all_patches_of_all_frames() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(2, 3, 2), torch.randn(2, 3, WIDTH)
    memory.time_mask[1, 2] = False
    memory.space_mask[1, 0] = False
    out = attention(h, attention.project(memory))
    for video, patches in enumerate((memory.patches[0].flatten(0, 1), memory.patches[1, :2, 1])):
        expected = naive_axis(attention.vectors, h[video], patches) @ attention.out.weight.T
        torch.testing.assert_close(out[video], expected, atol=1e-5, rtol=1e-5)


def test_the_shares_of_full_attention_are_sums_of_one_map() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_width=MEMORY, heads=HEADS)
    memory, h = make_memory(2, 3, 2), torch.randn(4, 5, WIDTH)
    memory.time_mask[1, 2] = False
    seen = attention.project(memory)
    time, space = attention.shares(h, seen)
    assert time.shape == (4, 5, 3)
    assert space.shape == (4, 5, 2)
    for share in (time, space):
        torch.testing.assert_close(share.sum(dim=-1), torch.ones(4, 5))
    assert not time[2:, :, 2].any()  # of the second video, which has two frames
    weights = attention.vectors.weights(h, seen.vectors).mean(dim=1)
    torch.testing.assert_close(time[:, :, 1], weights[:, :, 2] + weights[:, :, 3])
    torch.testing.assert_close(space[:, :, 1], weights[:, :, 1] + weights[:, :, 3] + weights[:, :, 5])
