"""Noise that is a function of key, step and token; and that it draws from the right distribution."""

from __future__ import annotations

import pytest
import torch
from transformers import TopPLogitsWarper

from pseudocap.label.sampling import KeyedSampling, gumbel, nucleus


def test_noise_depends_on_key_step_and_token_and_nothing_else() -> None:
    keys = torch.tensor([5, 6, 7])
    noise = gumbel(keys, 3, 100)
    torch.testing.assert_close(gumbel(keys[[2, 0]], 3, 100), noise[[2, 0]], rtol=0, atol=0)
    assert not (gumbel(keys, 4, 100) == noise).any()
    assert len(noise.flatten().unique()) == noise.numel()


def test_noise_is_gumbels() -> None:
    noise = gumbel(torch.arange(100), 0, 10_000)
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.005)
    assert noise.std().item() == pytest.approx(torch.pi / 6**0.5, abs=0.005)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_tokens_come_as_often_as_the_nucleus_says(temperature: float) -> None:
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0, -5.0]).expand(40_000, 5)
    sampling = KeyedSampling(torch.arange(40_000), top_p=0.9, temperature=temperature)
    drawn = sampling(torch.zeros(40_000, 1), scores).argmax(dim=-1)
    share = torch.bincount(drawn, minlength=5) / len(drawn)
    expected = TopPLogitsWarper(0.9)(torch.zeros(1, 1), scores[:1] / temperature)[0].softmax(dim=-1)  # type: ignore[arg-type]
    torch.testing.assert_close(share, expected, rtol=0, atol=0.01)


def test_the_nucleus_is_that_of_transformers() -> None:
    scores = torch.randn(64, 50).log_softmax(dim=-1)
    for top_p in (0.1, 0.5, 0.9, 0.99):
        warped = TopPLogitsWarper(top_p)(torch.zeros(64, 1), scores)  # type: ignore[arg-type]
        torch.testing.assert_close(nucleus(scores, top_p), warped)


def test_without_sampling_the_likeliest_token_is_taken() -> None:
    scores = torch.randn(8, 30)
    chosen = KeyedSampling(torch.arange(8), top_p=None)(torch.zeros(8, 1), scores)
    assert (chosen == 0).sum(dim=1).tolist() == [1] * 8
    torch.testing.assert_close(chosen.argmax(dim=1), scores.argmax(dim=1))


def test_log_probabilities_end_with_the_end_mark() -> None:
    sampling = KeyedSampling(torch.arange(2), top_p=None)
    for favourite in ((1, 2), (3, 2), (0, 3)):
        scores = torch.zeros(2, 4)
        scores[[0, 1], list(favourite)] = 2.0
        sampling(torch.zeros(2, 1), scores)
    each = torch.tensor([2.0, 0, 0, 0]).log_softmax(dim=0)[0].item()
    log_probs, tokens = sampling.of_captions(torch.tensor([[9, 1, 3, 0], [9, 2, 2, 3]]), [3])
    assert tokens == [2, 3]
    assert log_probs == pytest.approx([2 * each, 3 * each])
