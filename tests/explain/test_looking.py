"""What is told of the adapters is what they do: the weights are those that they attend with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.captions import CAPTIONS

from pseudocap import PseudoCap
from pseudocap.errors import InputError
from pseudocap.explain.looking import look
from pseudocap.memory import AXES

Build = Callable[..., PseudoCap]
FUSIONS = ("residual", "convex")


@pytest.fixture
def frame_mask() -> torch.Tensor:
    return torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_rows_sum_to_one_and_masked_frames_get_nothing(
    build: Build, frames: torch.Tensor, frame_mask: torch.Tensor, fusion: str
) -> None:
    model = build(fusion=fusion, adapter_layers=(1, 2))
    memory = model.encode(frames, frame_mask)
    looks = look(model, model.tokenize(CAPTIONS[:3]).input_ids, memory)
    assert [each.layer for each in looks] == [1, 2]
    for each in looks:
        for weights in each.shares.values():
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]))
        assert (each.shares["time"][~frame_mask[:, None].expand_as(each.shares["time"])] == 0).all()


@pytest.mark.parametrize("captions_each", [1, 2])
@pytest.mark.parametrize("padded", [False, True])
def test_values_weighted_so_are_the_attention_that_the_adapter_uses(
    model: PseudoCap, frames: torch.Tensor, frame_mask: torch.Tensor, padded: bool, captions_each: int
) -> None:
    (adapter,) = model.adapters.values()
    seen = adapter.project(model.encode(frames, frame_mask if padded else None), padded=AXES if padded else ())
    h_NLD = torch.randn(3 * captions_each, 5, 16, generator=torch.Generator().manual_seed(3))
    for name, axis in seen.axes.items():
        attention = getattr(adapter.attention, name)
        v_NHSK = axis.v_BHSK.repeat_interleave(captions_each, dim=0)
        ours_NHLK = attention.weights(h_NLD, axis) @ v_NHSK
        torch.testing.assert_close(ours_NHLK.transpose(1, 2).flatten(2), attention(h_NLD, axis))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_network_says_the_same_when_each_adapter_attends_by_these_weights(
    build: Build, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch, fusion: str
) -> None:
    model = build(fusion=fusion)
    memory, ids = model.encode(frames), model.tokenize(CAPTIONS[:3]).input_ids
    before, (seen,) = model(ids, memory).logits, look(model, ids, memory)
    (adapter,) = model.adapters.values()
    for name in ("time", "space"):
        attention = getattr(adapter.attention, name)
        told = []

        def by_weights(h_NLD, axis, packing, attention=attention, told=told):
            weights_NHLS = attention.weights(h_NLD, axis)
            told.append(weights_NHLS.mean(dim=1))
            return (weights_NHLS @ axis.v_BHSK).transpose(1, 2).flatten(2)

        monkeypatch.setattr(attention, "forward", by_weights)
        torch.testing.assert_close(model(ids, memory).logits, before)
        torch.testing.assert_close(told[0], seen.shares[name])


def test_closed_gates_add_nothing_and_open_ones_do(build: Build, frames: torch.Tensor) -> None:
    ids = build().tokenize(CAPTIONS[:3]).input_ids
    for gate_init, adds in ((0.0, False), (1.0, True)):
        model = build(gate_init=gate_init)
        (seen,) = look(model, ids, model.encode(frames))
        for share_NL in (seen.added_NL, seen.by_video_NL):
            assert bool((share_NL > 0).all()) is adds
            assert adds or not share_NL.any()


def test_what_the_video_makes_is_told_apart_from_what_the_feed_forward_adds_anyway(
    build: Build, frames: torch.Tensor
) -> None:
    model = build()
    (adapter,) = model.adapters.values()
    with torch.no_grad():
        adapter.attention.mix.weight.zero_()
    (seen,) = look(model, model.tokenize(CAPTIONS[:3]).input_ids, model.encode(frames))
    assert (seen.added_NL > 0).all()
    assert not seen.by_video_NL.any()


def test_looking_leaves_nothing_behind(model: PseudoCap, frames: torch.Tensor) -> None:
    look(model, model.tokenize(CAPTIONS[:3]).input_ids, model.encode(frames))
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.decoder.modules())


def test_full_attention_is_told_by_frame_and_by_patch(
    build: Build, frames: torch.Tensor, frame_mask: torch.Tensor
) -> None:
    model = build(attention="full", adapter_layers=(1, 2))
    memory = model.encode(frames, frame_mask)
    looks = look(model, model.tokenize(CAPTIONS[:3]).input_ids, memory)
    for each in looks:
        for weights in each.shares.values():
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]))
        assert (each.shares["time"][~frame_mask[:, None].expand_as(each.shares["time"])] == 0).all()
        assert (each.by_video_NL > 0).all()
    with torch.no_grad():
        model.adapters[1].attention.out.weight.zero_()
    blind, _ = look(model, model.tokenize(CAPTIONS[:3]).input_ids, memory)
    assert not blind.by_video_NL.any()


def test_a_resampler_has_no_map_and_says_so(build: Build, frames: torch.Tensor) -> None:
    model = build(attention="resampler")
    with pytest.raises(InputError, match=r"attention='resampler' has no attention maps.*'separable' or 'full'"):
        look(model, model.tokenize(CAPTIONS[:3]).input_ids, model.encode(frames))
