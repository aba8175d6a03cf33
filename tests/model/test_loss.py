from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from pseudocap.errors import InputError
from pseudocap.model.loss import IGNORE, caption_loss

VOCABULARY = 101


class LargestTensor(TorchDispatchMode):
    """Watches every tensor that is made, and remembers the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden = torch.randn(4, 9, 6, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (4, 9))
    labels[0, 5:] = IGNORE
    labels[2, 2:] = IGNORE
    return hidden, torch.randn(VOCABULARY, 6), labels


def naive(hidden: torch.Tensor, vocabulary: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy((hidden[:, :-1] @ vocabulary.T).flatten(0, 1), labels[:, 1:].flatten())


@pytest.mark.parametrize("chunk", [1, 5, 24, 1000, None])
def test_every_chunk_size_gives_the_naive_loss_and_gradient(batch: tuple[torch.Tensor, ...], chunk: int | None) -> None:
    hidden, vocabulary, labels = batch
    (expected,) = torch.autograd.grad(naive(hidden, vocabulary, labels) * 3, hidden)
    loss = caption_loss(hidden, vocabulary, labels, chunk=chunk)
    torch.testing.assert_close(loss, naive(hidden, vocabulary, labels))
    (gradient,) = torch.autograd.grad(loss * 3, hidden)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("chunk", [5, None])
def test_smoothing_and_weights_give_pytorchs_loss_and_gradient(
    batch: tuple[torch.Tensor, ...], chunk: int | None
) -> None:
    hidden, vocabulary, labels = batch
    weights = torch.randn(labels.shape)
    flat = labels[:, 1:].flatten()
    each = F.cross_entropy((hidden[:, :-1] @ vocabulary.T).flatten(0, 1), flat, reduction="none", label_smoothing=0.2)
    expected = (each * weights[:, 1:].flatten())[flat != IGNORE].mean()
    loss = caption_loss(hidden, vocabulary, labels, chunk=chunk, smoothing=0.2, weights_NL=weights)
    torch.testing.assert_close(loss, expected)
    for got, wanted in zip(torch.autograd.grad(loss, hidden), torch.autograd.grad(expected, hidden), strict=True):
        torch.testing.assert_close(got, wanted)


def test_no_logit_is_made_for_padding_nor_beyond_a_chunk(batch: tuple[torch.Tensor, ...]) -> None:
    hidden, vocabulary, labels = batch
    tokens = int((labels[:, 1:] != IGNORE).sum())
    for chunk, rows in ((8, 8), (None, tokens)):
        with LargestTensor() as watch:
            caption_loss(hidden, vocabulary, labels, chunk=chunk).backward()
        assert watch.elements <= rows * VOCABULARY
    with LargestTensor() as watch:
        naive(hidden, vocabulary, labels)
    assert watch.elements == 32 * VOCABULARY  # the watch does see what the naive way makes


def test_bfloat16_hidden_states_get_bfloat16_gradients(batch: tuple[torch.Tensor, ...]) -> None:
    hidden, vocabulary, labels = batch
    half = hidden.detach().bfloat16().requires_grad_()
    loss = caption_loss(half, vocabulary.bfloat16(), labels, chunk=5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(naive(hidden, vocabulary, labels).item(), rel=0.02)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_of_logits_in_half_precision_the_softmax_is_in_full(half: torch.dtype) -> None:
    hidden, vocabulary = 3 * torch.randn(8, 33, 16), torch.randn(500, 16)
    labels = torch.randint(0, 500, (8, 33))
    logits = hidden[:, :-1].to(half) @ vocabulary.to(half).T
    expected = F.cross_entropy(logits.float().flatten(0, 1), labels[:, 1:].flatten())
    found = caption_loss(hidden.to(half), vocabulary.to(half), labels, chunk=50)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_vocabulary_that_learns_gets_the_gradient_of_all_logits(batch: tuple[torch.Tensor, ...]) -> None:
    hidden, vocabulary, labels = batch
    ours, plain = (vocabulary.clone().requires_grad_() for _ in range(2))
    caption_loss(hidden, ours, labels, chunk=5).backward()
    naive(hidden.detach(), plain, labels).backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_a_batch_without_labels_and_a_wrong_shape_are_refused(batch: tuple[torch.Tensor, ...]) -> None:
    hidden, vocabulary, labels = batch
    with pytest.raises(InputError, match="no token of the batch has a label"):
        caption_loss(hidden, vocabulary, torch.full_like(labels, IGNORE))
    with pytest.raises(InputError, match=r"labels must be \[4, 9\]"):
        caption_loss(hidden, vocabulary, labels[:, :-1])


def test_float16_gradients_survive_a_small_loss_through_its_scale(batch: tuple[torch.Tensor, ...]) -> None:
    """Many tokens make each one's gradient tiny; the loss scale must reach it before float16 rounds it away."""
    hidden = torch.randn(64, 33, 6, requires_grad=True)
    vocabulary, labels = torch.randn(4000, 6), torch.randint(0, 4000, (64, 33))
    (exact,) = torch.autograd.grad(naive(hidden, vocabulary, labels), hidden)
    half = hidden.detach().half().requires_grad_()
    (scaled,) = torch.autograd.grad(caption_loss(half, vocabulary.half(), labels, chunk=100) * 2.0**16, half)
    error = (scaled.float() / 2**16 - exact).norm() / exact.norm()
    assert error < 0.001  # 0.0004 measured; divided too early it is 0.004


def test_a_chunk_of_no_tokens_is_refused(batch: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(InputError, match="chunk must be at least 1"):
        caption_loss(*batch, chunk=0)
