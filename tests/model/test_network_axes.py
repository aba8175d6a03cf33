"""A captioner that hears: one that has learned to see and gains an axis, and files with and without sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from helpers.captions import CAPTIONS

from pseudocap import PseudoCap
from pseudocap.errors import InputError
from pseudocap.explain.looking import look
from pseudocap.memory import Axis, Memory
from pseudocap.model.packing import Packing

Build = Callable[..., PseudoCap]
SOUND = 10  # the width of its vectors; those of sight are 16 wide


def with_sound(memory: Memory, counts: tuple[int, ...]) -> Memory:
    """So many moments of each video, padded to the longest."""
    mask = torch.arange(max(counts))[None] < torch.tensor(counts)[:, None]
    vectors = torch.randn(*mask.shape, SOUND, generator=torch.Generator().manual_seed(4))
    return Memory({**memory.axes, "sound": Axis(vectors * mask[..., None], mask)}, memory.patches)


def learned(model: PseudoCap) -> None:
    """Give the new axis weights of a useful size, as training would."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for adapter in model.adapters.values():
            for weight in (adapter.attention.sound.value.weight, adapter.attention.mix.weight):
                weight.normal_(std=0.3, generator=generator)


@pytest.mark.parametrize("fusion", ["residual", "convex"])
def test_a_captioner_that_gains_an_axis_gives_the_same_logits_until_it_learns(
    build: Build, frames: torch.Tensor, fusion: str
) -> None:
    model = build(fusion=fusion, adapter_layers=(1, 3))
    tokens, seen = model.tokenize(CAPTIONS[:3]), model.encode(frames)
    before, old = model(tokens.input_ids, seen).logits, model.trainable_names
    model.decoder.grow_axis("sound", memory_width=SOUND)
    heard = with_sound(seen, (5, 0, 2))
    for memory in (seen, heard):
        assert torch.equal(model(tokens.input_ids, memory).logits, before)
    assert {name for name in model.trainable_names - old if "sound" not in name} == set()
    assert all(
        parameter.requires_grad == (name in model.trainable_names) for name, parameter in model.named_parameters()
    )
    optimiser = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1.0)
    model(tokens.input_ids, heard, attention_mask=tokens.attention_mask, labels=tokens.labels).loss.backward()
    for adapter in model.adapters.values():
        assert adapter.attention.mix.weight.grad[:, -16:].any()
    optimiser.step()
    after = model(tokens.input_ids, heard).logits
    assert not torch.equal(after, before)
    silent = model(tokens.input_ids, seen).logits
    torch.testing.assert_close(after[1], silent[1])  # whose sound is masked out
    assert not torch.allclose(after[0], silent[0])


def test_captions_of_a_batch_with_and_without_sound_are_those_of_each_alone(build: Build, frames: torch.Tensor) -> None:
    model = build()
    model.decoder.grow_axis("sound", memory_width=SOUND)
    learned(model)
    heard = with_sound(model.encode(frames), (6, 0, 3))
    for options in ({}, {"num_beams": 2}):
        together = model.generate(heard, max_new_tokens=6, **options)
        for row in range(3):
            alone = model.generate(heard[row : row + 1], max_new_tokens=6, **options)
            assert together[row, : alone.shape[1]].tolist() == alone[0].tolist()
    unseen = heard[:1]
    unseen.time_mask[:] = False
    unseen.space_mask[:] = False
    only = Memory({"sound": unseen.axes["sound"]})
    ids = model.tokenize(CAPTIONS[:1]).input_ids
    torch.testing.assert_close(model(ids, unseen).logits, model(ids, only).logits)


def test_packed_captions_of_files_without_sound_give_the_loss_of_padded_ones(
    build: Build, frames: torch.Tensor
) -> None:
    model = build()
    model.decoder.grow_axis("sound", memory_width=SOUND)
    learned(model)
    heard, tokens = with_sound(model.encode(frames), (6, 0, 3)), model.tokenize(["a dog", "two cats run by", "a" * 40])
    assert Packing.of(tokens.attention_mask) is not None
    loss = model(tokens.input_ids, heard, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    logits = model(tokens.input_ids, heard, attention_mask=tokens.attention_mask).logits
    labels = tokens.labels[:, 1:].flatten()
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels))


def test_a_word_that_listens_is_explained_by_axis(build: Build, frames: torch.Tensor) -> None:
    model = build(adapter_layers=(1, 2))
    model.decoder.grow_axis("sound", memory_width=SOUND)
    heard = with_sound(model.encode(frames), (6, 0, 3))
    looks = look(model, model.tokenize(CAPTIONS[:3]).input_ids, heard)
    for each in looks:
        assert list(each.shares) == ["time", "space", "sound"]
        sums = each.shares["sound"].sum(dim=-1)
        torch.testing.assert_close(sums, torch.tensor([1.0, 0.0, 1.0])[:, None].expand_as(sums))
        assert not each.shares["sound"][2, :, 3:].any()


def test_a_captioner_that_sees_alone_takes_no_notice_of_sound(model: PseudoCap, frames: torch.Tensor) -> None:
    ids, seen = model.tokenize(CAPTIONS[:3]).input_ids, model.encode(frames)
    assert torch.equal(model(ids, with_sound(seen, (5, 0, 2))).logits, model(ids, seen).logits)
    with pytest.raises(InputError, match="memory has none of the axes that this captioner attends to: time, space"):
        model(ids, Memory({"sound": with_sound(seen, (5, 1, 2)).axes["sound"]}))


def narrow(model: PseudoCap, width: int) -> PseudoCap:
    """The same networks with adapters of another width."""
    config = replace(model.config, adapter_width=width)
    decoder = type(model.decoder)(model.decoder.lm, config, memory_width=model.decoder.memory_width)
    return PseudoCap(model.encoder, decoder, model.tokenizer, config)


def test_a_narrow_captioner_captions_as_it_did_when_it_is_loaded_again(
    model: PseudoCap, frames: torch.Tensor, tmp_path
) -> None:
    small, ids = narrow(model, 8), model.tokenize(CAPTIONS[:3]).input_ids
    assert 0 < small.parameter_counts().trainable < 0.6 * model.parameter_counts().trainable
    small.save_pretrained(tmp_path / "small")
    again = PseudoCap.from_pretrained(tmp_path / "small", device="cpu")
    assert again.config.adapter_width == 8
    before, after = (each(ids, each.encode(frames)).logits for each in (small, again))
    assert torch.equal(before, after)
    assert not torch.equal(before, model(ids, None).logits)
