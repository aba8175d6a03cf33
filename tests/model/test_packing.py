"""Captions packed into rows: the same losses and gradients, no leak, and nothing computed for padding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.model.packing import ROW, Packing

Build = Callable[..., PseudoCap]
CAPTIONS = ["a dog", "a man in a red hat stirs a pot of soup with a spoon", "two dogs run", "a cat"]


def mask_of(lengths: list[int], wide: int) -> torch.Tensor:
    return (torch.arange(wide) < torch.tensor(lengths)[:, None]).long()


@pytest.mark.parametrize("lengths", [[3, 9, 1, 4, 2, 9], [200, 40, 30, 100, 7, 250, 1], [ROW + 40, 5, 6]])
def test_every_real_token_comes_back_from_its_row(lengths: list[int]) -> None:
    mask = mask_of(lengths, max(lengths))
    packing = Packing.of(mask)
    assert packing is not None
    values = torch.arange(1, mask.numel() + 1).view(mask.shape)
    packed = packing.pack(values)
    assert packed.numel() < mask.numel()
    assert torch.equal(packing.unpack(packed)[mask.bool()], values[mask.bool()])
    for number, length in enumerate(lengths):  # side by side, in order, with positions of their own
        row, first = divmod(int(packing.target_NL[number, 0]), packed.shape[1])
        assert torch.equal(packed[row, first : first + length], values[number, :length])
        assert torch.equal(packing.positions_PS[row, first : first + length], torch.arange(length))


def test_what_cannot_gain_is_left_as_it_is() -> None:
    assert Packing.of(None) is None
    assert Packing.of(mask_of([5, 5, 5], 5)) is None
    assert Packing.of(mask_of([2, 3, 9], 9).flip(1)) is None  # padded on the left
    assert Packing.of(mask_of([0, 3, 9], 9)) is None  # a caption without a token


@pytest.mark.parametrize("opt", ["opt", "opt-350m"])
@pytest.mark.parametrize("each", [1, 2])
def test_losses_and_gradients_are_those_of_the_captions_one_by_one(
    build: Build, frames: torch.Tensor, opt: str, each: int
) -> None:
    model = build(opt)
    memory = model.encode(frames.repeat(2, 1, 1, 1, 1)[: len(CAPTIONS) // each])
    tokens = model.tokenize(CAPTIONS)
    assert Packing.of(tokens.attention_mask) is not None
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
    packed = {name: parameter.grad for name, parameter in model.adapters[2].named_parameters()}
    model.zero_grad(set_to_none=True)
    alone = [model.tokenize([caption]) for caption in CAPTIONS]
    learned = sum(int((one.labels != -100).sum()) for one in alone)
    for place, one in enumerate(alone):
        share = int((one.labels != -100).sum()) / learned
        (model(one.input_ids, memory[torch.tensor([place // each])], labels=one.labels).loss * share).backward()
    for name, parameter in model.adapters[2].named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_no_caption_sees_another_in_its_row(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames.repeat(2, 1, 1, 1, 1)[: len(CAPTIONS)])
    tokens = model.tokenize(CAPTIONS)
    other = tokens.input_ids.clone()
    other[0, 2] += 1
    said = [
        model(ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels, return_logits=True).logits
        for ids in (tokens.input_ids, other)
    ]
    real = tokens.attention_mask.bool()
    assert torch.equal(said[0][1:][real[1:]], said[1][1:][real[1:]])
    assert not torch.equal(said[0][0][real[0]], said[1][0][real[0]])


def test_nothing_is_computed_for_padding(model: PseudoCap, frames: torch.Tensor) -> None:
    memory = model.encode(frames.repeat(2, 1, 1, 1, 1)[: len(CAPTIONS)])
    tokens, seen = model.tokenize(CAPTIONS), []
    layers = [*model.decoder.opt.model.decoder.layers, *model.adapters.values()]
    for layer in layers:
        layer.register_forward_hook(lambda _, given, out: seen.append(given[0].shape[:2].numel()))
    model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels)
    assert seen == [int(tokens.attention_mask.sum())] * len(layers)
