"""What PseudoCap-Vid adds to the caption loss: denoising consistency and the gate's entropy. Pure functions.

The papers leave alpha, beta, delta, the dropping probability and the warm-up without values; ours are the defaults
here, and they are ours. Legend: N captions, L tokens, V vocabulary, M compared tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pseudocap.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """How a caption's prefix is perturbed: each real token but the first is masked, or swapped with its right
    neighbour, or, where it is a stop word, dropped, each with its own probability."""

    mask: float = 0.1
    swap: float = 0.1
    drop: float = 0.3

    def __post_init__(self) -> None:
        for name in ("mask", "swap", "drop"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"noise.{name} is a probability, from 0 to 1, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PerturbedCaptions:
    """Perturbed captions, padded on the right, and how they stand to the originals.

    `origin_NL` is the original index of each perturbed token (-1 for padding), so that the two can be aligned after
    tokens were dropped; `touched_NL` marks, at original indices, the tokens that were masked, swapped or dropped.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    origin_NL: torch.Tensor
    touched_NL: torch.Tensor


def perturb(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    noise: Noise,
    unknown_id: int,
    pad_id: int,
    stop_ids: torch.Tensor,
    generator: torch.Generator,
) -> PerturbedCaptions:
    """Perturb right-padded captions `</s> caption </s>`. OPT has no mask token, so `unknown_id` stands in for it.

    The two framing tokens stay as they are. Draws come from the generator alone, on its device.
    """
    N, L = input_ids.shape
    real_NL = attention_mask.bool()
    index_L = torch.arange(L, device=input_ids.device)
    inner_NL = real_NL & (index_L > 0) & (index_L < real_NL.sum(dim=1, keepdim=True) - 1)

    def chosen(probability: float) -> torch.Tensor:
        return (torch.rand(N, L, generator=generator, device=generator.device) < probability).to(input_ids.device)

    dropped_NL = chosen(noise.drop) & inner_NL & torch.isin(input_ids, stop_ids.to(input_ids.device))
    masked_NL = chosen(noise.mask) & inner_NL & ~dropped_NL
    first_NL = chosen(noise.swap) & inner_NL & inner_NL.roll(-1, dims=1)
    first_NL &= ~_alternate(first_NL)  # a token swaps with one neighbour at most
    second_NL = first_NL.roll(1, dims=1)

    ids_NL = input_ids.masked_fill(masked_NL, unknown_id)
    ids_NL = torch.where(first_NL, ids_NL.roll(-1, dims=1), torch.where(second_NL, ids_NL.roll(1, dims=1), ids_NL))
    dropped_NL = torch.where(
        first_NL, dropped_NL.roll(-1, dims=1), torch.where(second_NL, dropped_NL.roll(1, dims=1), dropped_NL)
    )

    kept_NL = real_NL & ~dropped_NL
    order_NL = (~kept_NL).long().argsort(dim=1, stable=True)
    kept_first_NL = kept_NL.gather(1, order_NL)
    return PerturbedCaptions(
        input_ids=ids_NL.gather(1, order_NL).masked_fill(~kept_first_NL, pad_id),
        attention_mask=kept_first_NL.long(),
        origin_NL=order_NL.masked_fill(~kept_first_NL, -1),
        touched_NL=masked_NL | first_NL | second_NL | dropped_NL,
    )


def _alternate(first_NL: torch.Tensor) -> torch.Tensor:
    """True at every second member of a run of chosen tokens, which therefore must not start a swap of its own."""
    index_L = torch.arange(first_NL.shape[1], device=first_NL.device)
    run_start_NL = torch.where(first_NL, -1, index_L).cummax(dim=1).values + 1
    return first_NL & ((index_L - run_start_NL) % 2 == 1)


def denoising_consistency(
    logits_NLV: torch.Tensor, perturbed_NLV: torch.Tensor, perturbed: PerturbedCaptions, *, beta: float = 0.5
) -> torch.Tensor:
    """Equations 9 to 11: the mean over tokens of gamma_t KL(P(w_t | y_<t, V) || P(w_t | y'_<t, V)).

    gamma_t = exp(-beta |t - t*|) with t* the nearest perturbed token. A token that was dropped has no counterpart and
    is skipped; the others are aligned by their original index. The clean prediction is the target and gets no
    gradient: ours, since the papers do not say. A caption that the noise left alone agrees with itself and adds 0.
    """
    target_NL = perturbed.origin_NL[:, 1:]
    compared_NL = target_NL > 0
    if not bool(compared_NL.any()):
        return perturbed_NLV.sum() * 0.0
    nearest_NL = _distance_to_touched(perturbed.touched_NL)
    row_M = compared_NL.nonzero()[:, 0]
    target_M = target_NL[compared_NL]
    clean_MV = logits_NLV.detach()[row_M, target_M - 1].float().log_softmax(dim=-1)
    noisy_MV = perturbed_NLV[:, :-1][compared_NL].float().log_softmax(dim=-1)
    gamma_M = torch.exp(-beta * nearest_NL[row_M, target_M])
    divergence_M = F.kl_div(noisy_MV, clean_MV, reduction="none", log_target=True).sum(dim=-1)
    return (gamma_M * divergence_M).mean()


def _distance_to_touched(touched_NL: torch.Tensor) -> torch.Tensor:
    """How far each token is from the nearest perturbed one; infinite where there is none."""
    index_L = torch.arange(touched_NL.shape[1], device=touched_NL.device, dtype=torch.float32)
    apart_NLL = (index_L[:, None] - index_L[None, :]).abs().expand(touched_NL.shape[0], -1, -1)
    return apart_NLL.masked_fill(~touched_NL[:, None, :], torch.inf).amin(dim=2)


def denoising_weight(step: int, *, warmup: int = 500, delta: float = 1e-3, most: float = 0.1) -> float:
    """Equation 11's weight: nothing up to `warmup` optimiser steps, then most * (1 - exp(-delta step))."""
    return most * -math.expm1(-delta * step) if step > warmup else 0.0


def gate_entropy(gates: Iterable[torch.Tensor]) -> torch.Tensor:
    """Equation 13 for convex gates in (0, 1): the mean of g log g + (1 - g) log(1 - g), exact at 0 and 1.

    It is the negative entropy: adding it with a positive weight pulls the gates towards one half.
    """
    g = torch.cat([gate.flatten().float() for gate in gates])
    return (torch.xlogy(g, g) + torch.xlogy(1 - g, 1 - g)).mean()


def total_loss(
    caption: torch.Tensor,
    *,
    denoising: torch.Tensor | None = None,
    denoising_weight: float = 0.0,
    entropy: torch.Tensor | None = None,
    entropy_weight: float = 0.01,
) -> torch.Tensor:
    """Equation 14: what was not computed is not added."""
    total = caption
    if denoising is not None:
        total = total + denoising_weight * denoising
    if entropy is not None:
        total = total + entropy_weight * entropy
    return total
