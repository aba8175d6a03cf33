"""The race of generation: what is raced does what it says."""

from __future__ import annotations

import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.bench.speed.generation import AGAINST, Setting, full_attention, ours, weights_read, with_full_attention

SETTING = Setting(frames=2, batch=2, beams=2, tokens=3)


@pytest.mark.parametrize("name", ["ours", *AGAINST])
@pytest.mark.parametrize("beams", [1, 2])
def test_everyone_writes_as_many_tokens_as_asked(model: PseudoCap, name: str, beams: int) -> None:
    setting = Setting(frames=2, batch=2, beams=beams)
    generate = ({"ours": ours} | AGAINST)[name](model, setting)
    with torch.inference_mode():
        short, long = generate(2), generate(5)
    assert short.shape[0] == long.shape[0] == 2
    assert long.shape[1] - short.shape[1] == 3


def test_full_attention_projects_every_patch_at_every_step_and_ours_once(model: PseudoCap) -> None:
    rows: list[int] = []
    peer = with_full_attention(model)
    first = next(iter(peer.adapters.values()))
    first.attention.key.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[:2].numel()))
    with torch.inference_mode():
        features = torch.randn(2, 3 * 196, peer.memory_width)
        h = torch.randn(2, 1, model.decoder.config.hidden_size)
        first(h, features)
        first(h, features)
    assert rows == [2 * 3 * 196] * 2

    mine: list[int] = []
    adapter = next(iter(model.decoder.adapters.values()))
    adapter.attention.space.key.register_forward_hook(lambda *_: mine.append(1))
    with torch.inference_mode():
        ours(model, SETTING)(4)
    assert mine == [1]


def test_full_attention_looks_at_the_video(model: PseudoCap) -> None:
    peer = with_full_attention(model)
    adapter = next(iter(peer.adapters.values()))
    h, features = torch.randn(1, 1, peer.config.hidden_size), torch.randn(1, 4, peer.memory_width)
    with torch.inference_mode():
        assert not torch.equal(adapter(h, features), adapter(h, -features))
    assert peer.opt is model.decoder.opt
    assert full_attention(model, SETTING) is not None


def test_a_step_reads_all_weights_but_those_of_keys_values_and_positions(model: PseudoCap) -> None:
    opt, adapters = model.decoder.opt, model.decoder.adapters
    read = {id(weight) for name, weight in opt.named_parameters() if "positions" not in name}
    plain = sum(weight.numel() for weight in opt.parameters() if id(weight) in read)
    D, count = opt.config.hidden_size, len(adapters)
    # queries of two axes, the mix, the feed-forward with its biases, two norms, two gates
    each = 2 * D * D + 2 * D * D + 8 * D * D + 5 * D + 4 * D + 2 * D
    assert weights_read(model) == pytest.approx((plain + count * each) / plain)
