from __future__ import annotations

import math

import pytest
import torch

from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Axis, Memory
from pseudocap.model.attention import AxisAttention, FullCrossAttention, SeparableCrossAttention, check_memory

WIDTH, MEMORY, HEADS = 12, 6, 3
WIDTHS = {"time": MEMORY, "space": MEMORY}


def make_memory(videos: int, frames: int, patches: int) -> Memory:
    return Memory.of_sight(
        time=torch.randn(videos, frames, MEMORY),
        space=torch.randn(videos, patches, MEMORY),
        patches=torch.randn(videos, frames, patches, MEMORY),
    )


def naive_axis(attention: AxisAttention, h_LD: torch.Tensor, axis_SE: torch.Tensor) -> torch.Tensor:
    """One video, one caption, one head, one word at a time."""
    heads, K = attention.heads, attention.query.out_features // attention.heads
    normed = torch.nn.functional.layer_norm(axis_SE, axis_SE.shape[1:], attention.norm.weight, attention.norm.bias)
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
    attention = SeparableCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(2, 3, WIDTH)
    out = attention(h, attention.project(memory))
    for video in range(2):
        both = [
            naive_axis(attention.time, h[video], memory.time[video]),
            naive_axis(attention.space, h[video], memory.space[video]),
        ]
        torch.testing.assert_close(out[video], torch.cat(both, dim=-1) @ attention.mix.weight.T, atol=1e-5, rtol=1e-5)


def test_captions_of_one_video_share_its_keys_without_expansion() -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(6, 3, WIDTH)
    shared = attention.project(memory)
    repeated = attention.project(memory[torch.tensor([0, 0, 0, 1, 1, 1])])
    assert shared.axes["time"].k_BHSK.shape[0] == 2
    torch.testing.assert_close(attention(h, shared), attention(h, repeated))


@pytest.mark.parametrize("axis", ["time", "space"])
def test_what_a_mask_hides_changes_nothing(axis: str) -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(1, 4, 4), torch.randn(1, 3, WIDTH)
    getattr(memory, f"{axis}_mask")[0, 3:] = False
    before = attention(h, attention.project(memory))
    getattr(memory, axis)[0, 3:] = 50.0
    assert torch.equal(attention(h, attention.project(memory)), before)
    getattr(memory, axis)[0, :3] += 1.0 * torch.randn(3, MEMORY)
    assert not torch.allclose(attention(h, attention.project(memory)), before)


def test_a_mask_that_hides_nothing_may_be_left_out() -> None:
    attention = SeparableCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(2, 4, 5), torch.randn(2, 3, WIDTH)
    lean = attention.project(memory, padded=())
    assert lean.axes["time"].mask_B11S is None
    torch.testing.assert_close(attention(h, lean), attention(h, attention.project(memory)))


# Every patch of every frame


def test_full_attention_over_one_patch_of_one_frame_is_that_patchs_value_for_every_word() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(1, 1, 1), torch.randn(1, 3, WIDTH)
    patch = torch.nn.functional.layer_norm(memory.patches[0, 0, 0], (MEMORY,))
    expected = attention.out.weight @ (attention.vectors.value.weight @ patch)
    out = attention(h, attention.project(memory))
    torch.testing.assert_close(out, expected.expand(1, 3, WIDTH), atol=1e-5, rtol=1e-5)


def test_full_attention_equals_a_naive_loop_over_all_patches_of_all_frames() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(2, 3, 2), torch.randn(2, 3, WIDTH)
    memory.time_mask[1, 2] = False
    memory.space_mask[1, 0] = False
    out = attention(h, attention.project(memory))
    for video, patches in enumerate((memory.patches[0].flatten(0, 1), memory.patches[1, :2, 1])):
        expected = naive_axis(attention.vectors, h[video], patches) @ attention.out.weight.T
        torch.testing.assert_close(out[video], expected, atol=1e-5, rtol=1e-5)


def test_the_shares_of_full_attention_are_sums_of_one_map() -> None:
    attention = FullCrossAttention(width=WIDTH, memory_widths=WIDTHS, heads=HEADS)
    memory, h = make_memory(2, 3, 2), torch.randn(4, 5, WIDTH)
    memory.time_mask[1, 2] = False
    seen = attention.project(memory)
    shares = attention.shares(h, seen)
    time, space = shares["time"], shares["space"]
    assert time.shape == (4, 5, 3)
    assert space.shape == (4, 5, 2)
    for share in (time, space):
        torch.testing.assert_close(share.sum(dim=-1), torch.ones(4, 5))
    assert not time[2:, :, 2].any()  # of the second video, which has two frames
    weights = attention.vectors.weights(h, seen.vectors).mean(dim=1)
    torch.testing.assert_close(time[:, :, 1], weights[:, :, 2] + weights[:, :, 3])
    torch.testing.assert_close(space[:, :, 1], weights[:, :, 1] + weights[:, :, 3] + weights[:, :, 5])


# Axes


def heard(videos: int, moments: int) -> Memory:
    """Time, space and sound, of other widths, given in another order than theirs."""
    memory = make_memory(videos, 4, 5)
    sound = Axis(torch.randn(videos, moments, 9), torch.ones(videos, moments, dtype=torch.bool))
    return Memory({"sound": sound, "space": memory.axes["space"], "time": memory.axes["time"]})


def three_axes(*, inner: int | None = None) -> SeparableCrossAttention:
    widths = {"sound": 9, "time": MEMORY, "space": MEMORY}
    return SeparableCrossAttention(width=WIDTH, memory_widths=widths, heads=HEADS, inner=inner)


@pytest.mark.parametrize("inner", [None, 6])
def test_pooled_attention_equals_a_naive_loop_over_each_axis(inner: int | None) -> None:
    attention, memory, h = three_axes(inner=inner), heard(2, 7), torch.randn(2, 3, WIDTH)
    memory.axes["sound"].mask[1, 4:] = False
    out = attention(h, attention.project(memory))
    for video, moments in ((0, 7), (1, 4)):
        each = [
            naive_axis(attention.time, h[video], memory.time[video]),
            naive_axis(attention.space, h[video], memory.space[video]),
            naive_axis(attention.sound, h[video], memory.axes["sound"].vectors[video, :moments]),
        ]
        torch.testing.assert_close(out[video], torch.cat(each, dim=-1) @ attention.mix.weight.T, atol=1e-5, rtol=1e-5)


def test_weights_stand_in_the_order_of_the_axes_whatever_order_they_are_named_in() -> None:
    attention = three_axes()
    assert [name for name, _ in attention.named_children()] == ["time", "space", "sound", "mix"]
    assert attention.mix.weight.shape == (WIDTH, 3 * WIDTH)


def without_sound(memory: Memory, how: str) -> Memory:
    sound, videos = memory.axes["sound"], len(memory)
    other = {
        "masked": Axis(sound.vectors, torch.zeros_like(sound.mask)),
        "empty": Axis(torch.zeros(videos, 0, 9), torch.zeros(videos, 0, dtype=torch.bool)),
    }
    axes = {name: axis for name, axis in memory.axes.items() if name != "sound"}
    return Memory(axes if how == "absent" else {**axes, "sound": other[how]})


@pytest.mark.parametrize("how", ["masked", "empty", "absent"])
def test_an_axis_of_which_nothing_is_there_gives_exactly_zero(how: str) -> None:
    attention, h = three_axes(), torch.randn(2, 3, WIDTH)
    silent = without_sound(heard(2, 7), how)
    padded = check_memory(silent, memory_widths={"time": MEMORY, "space": MEMORY, "sound": 9}, rows=2)
    assert padded <= {"sound"}
    seen = attention.project(silent, padded=padded)
    assert not attention.sound(h, seen.axes["sound"]).any()
    assert seen.axes["sound"].mask_B11S.any(dim=-1).all(), "of some kernels a softmax over nothing is NaN"
    assert seen.axes["time"].mask_B11S is None, "a mask on one axis slows no other"
    assert not attention.shares(h, seen)["sound"].any()
    out = attention(h, seen)
    sight = torch.cat([attention.time(h, seen.axes["time"]), attention.space(h, seen.axes["space"])], dim=-1)
    torch.testing.assert_close(out, sight @ attention.mix.weight[:, : 2 * WIDTH].T)
    out.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, f"{name} must take part on every rank"
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any() or "sound" in name, name


def test_a_silent_video_beside_one_with_sound_is_as_it_is_alone() -> None:
    attention, memory, h = three_axes(), heard(2, 7), torch.randn(2, 3, WIDTH)
    memory.axes["sound"].mask[0] = False
    both = attention(h, attention.project(memory))
    alone = attention(h[:1], attention.project(without_sound(memory, "absent")[:1]))
    torch.testing.assert_close(both[:1], alone)
    torch.testing.assert_close(both[1:], attention(h[1:], attention.project(memory[1:])))


@pytest.mark.parametrize("width", [WIDTH, 64])
def test_an_attention_that_gains_an_axis_gives_the_same_bits_until_it_learns(width: int) -> None:
    widths = {"time": MEMORY, "space": MEMORY}
    attention = SeparableCrossAttention(width=width, memory_widths=widths, heads=2)
    memory, h = heard(2, 7), torch.randn(2, 3, width)
    before, named = attention(h, attention.project(memory)), dict(attention.named_parameters())
    attention.grow("sound", memory_width=9)
    assert torch.equal(attention(h, attention.project(memory)), before)
    assert torch.equal(attention(h, attention.project(without_sound(memory, "absent"))), before)
    new = SeparableCrossAttention(width=width, memory_widths={**widths, "sound": 9}, heads=2)
    assert [name for name, _ in attention.named_parameters()] == [name for name, _ in new.named_parameters()]
    new.load_state_dict(attention.state_dict())
    assert torch.equal(new(h, new.project(memory)), before)
    for name, parameter in attention.named_parameters():
        assert parameter.requires_grad
        assert "sound" in name or "mix" in name or torch.equal(parameter, named[name])
    attention(h, attention.project(memory)).square().sum().backward()
    assert attention.mix.weight.grad[:, 2 * width :].any()


def test_an_axis_that_is_there_already_or_that_nobody_knows_is_no_growth() -> None:
    for name in ("sound", "smell"):
        with pytest.raises(InputError, match=f"cannot gain the axis '{name}'"):
            three_axes().grow(name, memory_width=9)


def test_attention_to_every_patch_has_no_other_axes() -> None:
    with pytest.raises(ConfigError, match=r"axes are time, space, sound; take attention='separable'"):
        FullCrossAttention(width=WIDTH, memory_widths={**WIDTHS, "sound": 9}, heads=HEADS)


# Which memories are taken


def check(memory: Memory, *axes: str) -> frozenset[str]:
    widths = {"time": MEMORY, "space": MEMORY, "sound": 9}
    return check_memory(memory, memory_widths={name: widths[name] for name in axes or widths}, rows=len(memory))


def test_padded_axes_are_those_whose_masks_hide_something() -> None:
    memory = heard(2, 7)
    assert check(memory) == frozenset()
    memory.axes["sound"].mask[0, 5:] = False
    assert check(memory) == {"sound"}
    assert check(memory, "time", "space") == frozenset()
    memory.time_mask[1, 2:] = False
    assert check(memory) == {"time", "sound"}


@pytest.mark.parametrize(("hidden", "other"), [("time", "space"), ("space", "time")])
def test_a_video_of_which_half_the_sight_is_hidden_is_refused_whatever_it_sounds_like(hidden: str, other: str) -> None:
    memory = heard(2, 7)
    memory.axes[hidden].mask[1] = False
    for axes in ((), ("time", "space")):
        with pytest.raises(InputError, match=rf"memory.{hidden}_mask hides a whole video"):
            check(memory, *axes)
    with pytest.raises(InputError, match=rf"memory has no axis {hidden}, and this captioner attends to time, space"):
        check(Memory({name: axis for name, axis in memory.axes.items() if name != hidden}))


def test_a_video_that_is_heard_and_not_seen_is_taken_and_one_that_is_neither_is_refused() -> None:
    memory = heard(2, 7)
    memory.time_mask[1] = memory.space_mask[1] = False
    assert check(memory) == {"time", "space"}
    assert check(Memory({"sound": memory.axes["sound"]})) == {"time", "space"}
    with pytest.raises(InputError, match=r"memory.time_mask hides a whole video"):
        check(memory, "time", "space")
    memory.axes["sound"].mask[1] = False
    with pytest.raises(InputError, match=r"memory.time_mask hides a whole video"):
        check(memory)
    with pytest.raises(InputError, match=r"memory.sound_mask hides a whole video"):
        check(memory, "sound")
    with pytest.raises(InputError, match="memory has none of the axes that this captioner attends to: sound"):
        check(make_memory(2, 4, 5), "sound")


def test_an_axis_of_another_width_or_number_of_videos_is_refused() -> None:
    memory = heard(2, 7)
    memory.axes["sound"].vectors = torch.zeros(2, 7, 8)
    with pytest.raises(InputError, match=r"memory.sound must be \[B, vectors, 9\]"):
        check(memory)
    memory.axes["sound"] = heard(3, 7).axes["sound"]
    with pytest.raises(InputError, match=r"memory.time holds 2 videos and memory.sound 3"):
        check(memory)
    memory.axes["sound"] = Axis(torch.zeros(2, 7, 9), torch.ones(2, 6, dtype=torch.bool))
    with pytest.raises(InputError, match=r"memory.sound_mask must be boolean \[2, 7\]"):
        check(memory)
