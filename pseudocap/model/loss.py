"""Compute the caption loss: cross-entropy of the next token, over real tokens only and in chunks of the logits.

With 50 K words the logits are by far the largest tensor of a training step. Padding is about half of a batch of
captions, and no logit is ever computed for it; the rest is done a chunk of tokens at a time, each chunk leaving only
its loss and the gradient of its hidden states behind. The gradient is taken in the forward pass, so nothing is
computed twice. Peak memory and time against the plain way: docs/experiments.md.

Legend: N captions, L tokens, D the decoder's output width, V vocabulary, M tokens with a label, C tokens of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pseudocap.errors import InputError

IGNORE = -100
CHUNK = 256


def caption_loss(
    hidden_NLD: torch.Tensor,
    vocabulary_VD: torch.Tensor,
    labels_NL: torch.Tensor,
    *,
    chunk: int | None = CHUNK,
    smoothing: float = 0.0,
    weights_NL: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean over the tokens that have a label; `labels` stand beside their input, the shift happens here.

    `smoothing` is the share of the target that is spread over all words; `weights` [N,L] multiply each label's loss.
    `chunk=None` computes all logits at once, as a vocabulary that learns needs it: in chunks it gets no gradient.
    """
    if labels_NL.shape != hidden_NLD.shape[:2]:
        raise InputError(f"labels must be {list(hidden_NLD.shape[:2])}, one per token, not {list(labels_NL.shape)}")
    wanted_NL = labels_NL[:, 1:] != IGNORE
    targets_M = labels_NL[:, 1:][wanted_NL]
    hidden_MD = hidden_NLD[:, :-1][wanted_NL]
    if not len(targets_M):
        raise InputError(f"no token of the batch has a label: all of them are {IGNORE}, or the captions are empty")
    low, high = torch.stack(targets_M.aminmax()).tolist()
    if low < 0 or high >= len(vocabulary_VD) or targets_M.is_floating_point():
        raise InputError(
            f"labels must be whole numbers from 0 to {len(vocabulary_VD) - 1}, or {IGNORE} for nothing to learn; "
            f"these reach from {low} to {high}"
        )
    if chunk is not None and chunk < 1:
        raise InputError(f"chunk must be at least 1 token, or None for all at once, not {chunk}")
    weights_M = None if weights_NL is None else weights_NL[:, 1:][wanted_NL].float()
    if chunk is None or vocabulary_VD.requires_grad:
        logits_MV = F.linear(hidden_MD, vocabulary_VD).float()
        losses_M = F.cross_entropy(logits_MV, targets_M, reduction="none", label_smoothing=smoothing)
        return (losses_M if weights_M is None else losses_M * weights_M).mean()
    return ChunkedCrossEntropy.apply(hidden_MD, vocabulary_VD, targets_M, chunk, smoothing, weights_M)


class ChunkedCrossEntropy(torch.autograd.Function):
    """Compute the mean cross-entropy of hidden @ vocabulary.T that never holds more than `chunk` rows of logits."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: torch.Tensor,
        vocabulary_VD: torch.Tensor,
        targets_M: torch.Tensor,
        chunk: int,
        smoothing: float,
        weights_M: torch.Tensor | None,
    ) -> torch.Tensor:
        tokens = len(targets_M)
        total = torch.zeros((), dtype=torch.float32, device=hidden_MD.device)
        gradient_MD = torch.empty_like(hidden_MD) if ctx.needs_input_grad[0] else None
        # Autocast would cast the whole vocabulary again for every chunk.
        working_type = F.linear(hidden_MD[:1], vocabulary_VD[:1]).dtype
        vocabulary_VD = vocabulary_VD.to(working_type)
        for start in range(0, tokens, chunk):
            rows = slice(start, start + chunk)
            logits_CV = F.linear(hidden_MD[rows].to(working_type), vocabulary_VD).float()
            targets_C1 = targets_M[rows, None]
            normaliser_C1 = logits_CV.logsumexp(dim=1, keepdim=True)
            losses_C1 = normaliser_C1 - logits_CV.gather(1, targets_C1)
            if smoothing:
                losses_C1 = losses_C1.lerp(normaliser_C1 - logits_CV.mean(dim=1, keepdim=True), smoothing)
            weights_C1 = None if weights_M is None else weights_M[rows, None]
            total += (losses_C1 if weights_C1 is None else losses_C1 * weights_C1).sum()
            if gradient_MD is not None:
                # Softmax minus one at the target, written over the logits. It is divided by the tokens only after the
                # outer gradient, which carries the loss scale, has come: in float16 it would be lost before.
                slope_CV = logits_CV.sub_(normaliser_C1).exp_()
                slope_CV.scatter_add_(1, targets_C1, torch.full_like(normaliser_C1, smoothing - 1.0))
                if smoothing:
                    slope_CV -= smoothing / len(vocabulary_VD)
                if weights_C1 is not None:
                    slope_CV *= weights_C1
                gradient_MD[rows] = (slope_CV.to(working_type) @ vocabulary_VD).to(gradient_MD.dtype)
        if gradient_MD is not None:
            ctx.save_for_backward(gradient_MD)
            ctx.tokens = tokens
        return total / tokens

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None, None, None]:
        (gradient_MD,) = ctx.saved_tensors
        return gradient_MD * (outer / ctx.tokens), None, None, None, None, None
