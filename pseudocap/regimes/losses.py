"""Compute what a step learns: the caption loss, and what PseudoCap-Vid adds to it, denoising consistency and the gates'
entropy. Pure functions.

The papers leave beta, delta, the dropping probability and the warm-up without values; the defaults of `Noise` and
`Denoising` are ours. The gate entropy's weight is 0.01 in the paper. Legend: N captions, L tokens, V vocabulary,
M compared tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from pseudocap.captioner import PseudoCap
from pseudocap.errors import ConfigError
from pseudocap.memory import Axis, Memory
from pseudocap.model.loss import IGNORE
from pseudocap.model.network import seeded
from pseudocap.model.text import CaptionTokens, StopWords


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Noise:
    """Set how a caption's prefix is perturbed: each real token but the first is masked, or swapped with its right
    neighbour, or, where it is a stop word, dropped, each with its own probability.

    Args:
        mask: probability that a token is masked
        swap: probability that it is swapped with the next one
        drop: probability that a stop word is left out
    """

    mask: float = 0.1
    swap: float = 0.1
    drop: float = 0.3

    def __post_init__(self) -> None:
        for name in ("mask", "swap", "drop"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"noise.{name} is a probability, from 0 to 1, not {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Denoising:
    """Set equations 9 to 11.

    Args:
        noise: how prefixes are perturbed
        beta: how fast a perturbation's reach falls off with the distance in tokens
        weight: of this loss in the end, 0.1 in the paper
        delta: how fast the weight rises with the optimiser's steps
        warmup: optimiser steps without this loss
    """

    noise: Noise = field(default_factory=Noise)
    beta: float = 0.5
    weight: float = 0.1
    delta: float = 1e-3
    warmup: int = 500

    def __post_init__(self) -> None:
        for name in ("beta", "weight", "delta", "warmup"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"denoising.{name} must be 0 or more, not {getattr(self, name)!r}")

    def weight_at(self, step: int) -> float:
        """Compute equation 11: nothing up to `warmup` optimiser steps, then weight * (1 - exp(-delta step))."""
        return self.weight * -math.expm1(-self.delta * step) if step > self.warmup else 0.0


@dataclass(kw_only=True, slots=True)
class PerturbedCaptions:
    """Hold perturbed captions, padded on the right, and how they align with the originals.

    `origin_NL` is the original index of each token (-1 for padding and prompts, which nobody predicts), so that the two
    can be aligned after tokens were dropped; two swapped tokens have changed positions, so each has the other's.
    `touched_NL` marks the original indices where something was masked, swapped or dropped.
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
    prompt_NL: torch.Tensor | None = None,
    unknown_id: int,
    pad_id: int,
    stop_words: StopWords,
    generator: torch.Generator,
) -> PerturbedCaptions:
    """Perturb right-padded captions `BOS caption EOS`; `unknown_id` replaces what is masked (text.mask_token_id).

    The two framing tokens stay as they are, and those that `prompt_NL` marks. Draws come from the generator alone, on
    its device.
    """
    N, L = input_ids.shape
    real_NL = attention_mask.bool()
    index_L = torch.arange(L, device=input_ids.device)
    inner_NL = real_NL & (index_L > 0) & (index_L < real_NL.sum(dim=1, keepdim=True) - 1)
    nobodys_NL = ~real_NL if prompt_NL is None else ~real_NL | prompt_NL
    inner_NL &= ~nobodys_NL

    def chosen(probability: float) -> torch.Tensor:
        return (torch.rand(N, L, generator=generator, device=generator.device) < probability).to(input_ids.device)

    dropped_NL = chosen(noise.drop) & inner_NL & stop_words.within(input_ids)
    masked_NL = chosen(noise.mask) & inner_NL & ~dropped_NL
    may_swap_NL = inner_NL & ~dropped_NL
    first_NL = chosen(noise.swap) & may_swap_NL & may_swap_NL.roll(-1, dims=1)
    first_NL &= ~_alternate(first_NL)  # a token swaps with one neighbour at most
    second_NL = first_NL.roll(1, dims=1)

    ids_NL = input_ids.masked_fill(masked_NL, unknown_id)
    ids_NL = torch.where(first_NL, ids_NL.roll(-1, dims=1), torch.where(second_NL, ids_NL.roll(1, dims=1), ids_NL))

    kept_NL = real_NL & ~dropped_NL
    order_NL = (~kept_NL).long().argsort(dim=1, stable=True)
    kept_first_NL = kept_NL.gather(1, order_NL)
    return PerturbedCaptions(
        input_ids=ids_NL.gather(1, order_NL).masked_fill(~kept_first_NL, pad_id),
        attention_mask=kept_first_NL.long(),
        origin_NL=order_NL.masked_fill(nobodys_NL.gather(1, order_NL) | ~kept_first_NL, -1),
        touched_NL=masked_NL | first_NL | second_NL | dropped_NL,
    )


def _alternate(first_NL: torch.Tensor) -> torch.Tensor:
    """Mark every second member of a run of chosen tokens, which therefore must not start a swap of its own."""
    index_L = torch.arange(first_NL.shape[1], device=first_NL.device)
    run_start_NL = torch.where(first_NL, -1, index_L).cummax(dim=1).values + 1
    return first_NL & ((index_L - run_start_NL) % 2 == 1)


def denoising_consistency(
    logits_NLV: torch.Tensor, perturbed_NLV: torch.Tensor, perturbed: PerturbedCaptions, *, beta: float
) -> torch.Tensor:
    """Compute equations 9 to 11: the mean over tokens of gamma_t KL(P(w_t | y_<t, V) || P(w_t | y'_<t, V)).

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
    distance_M = nearest_NL[row_M, target_M]
    gamma_M = torch.exp(-beta * distance_M).masked_fill(distance_M.isinf(), 0.0)
    divergence_M = F.kl_div(noisy_MV, clean_MV, reduction="none", log_target=True).sum(dim=-1)
    return (gamma_M * divergence_M).mean()


def _distance_to_touched(touched_NL: torch.Tensor) -> torch.Tensor:
    """Return how far each token is from the nearest perturbed one; infinite where there is none."""
    index_L = torch.arange(touched_NL.shape[1], device=touched_NL.device, dtype=torch.float32)
    apart_NLL = (index_L[:, None] - index_L[None, :]).abs().expand(touched_NL.shape[0], -1, -1)
    return apart_NLL.masked_fill(~touched_NL[:, None, :], torch.inf).amin(dim=2)


def gate_entropy(gates: Iterable[torch.Tensor]) -> torch.Tensor:
    """Compute equation 13 for convex gates: the mean of g log g + (1 - g) log(1 - g) over all dimensions and adapters.

    It is the negative entropy: adding it with a positive weight pulls the gates towards one half. A gate that is shut
    or open in its precision adds 0 and gets no gradient, where the plain formula would give NaN.
    """
    g = torch.cat([gate.flatten().float() for gate in gates])
    between = (g > 0) & (g < 1)
    safe = torch.where(between, g, 0.5)
    return torch.where(between, torch.xlogy(safe, safe) + torch.xlogy(1 - safe, 1 - safe), 0.0).mean()


def total_loss(caption: torch.Tensor, *added: tuple[float, torch.Tensor]) -> torch.Tensor:
    """Compute equation 14: the caption loss, and each further loss times its weight."""
    return caption + sum(weight * loss for weight, loss in added)


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Objective:
    """Set what is added to the caption loss. By default nothing, as in FrozenCaptioner.

    Args:
        denoising: PseudoCap-Vid's denoising consistency; null leaves it out
        gate_entropy: weight of the gates' entropy, 0.01 in PseudoCap-Vid; convex fusion only
        max_tokens: longer captions are cut here, and then learned without their end
        smoothing: share of each word's target that is spread over all words
        memory_dropout: share of the memory's features that a training step does not see
    """

    denoising: Denoising | None = None
    gate_entropy: float = 0.0
    max_tokens: int = 64
    smoothing: float = 0.0
    memory_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("smoothing", "memory_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"objective.{name} must be from 0 to below 1, not {getattr(self, name)!r}")
        if not self.gate_entropy >= 0:
            raise ConfigError(f"objective.gate_entropy must be 0 or more, not {self.gate_entropy!r}")
        if self.max_tokens < 3:
            raise ConfigError(f"objective.max_tokens must be at least 3, `</s> word </s>`, not {self.max_tokens}")


@dataclass(kw_only=True, slots=True)
class Losses:
    """Hold the losses of one batch: the total, which is learned, and its parts as they are before their weights; the
    group of modalities that they are of, where one was drawn."""

    total: torch.Tensor
    parts: dict[str, torch.Tensor]
    group: str = ""


def caption_losses(
    model: PseudoCap,
    tokens: CaptionTokens,
    memory: Memory,
    objective: Objective,
    *,
    step: int,
    generator: torch.Generator,
    stop_words: StopWords,
) -> Losses:
    """Compute equation 14 at an optimiser step: the caption loss, the denoising consistency, the gates' entropy."""
    denoising = objective.denoising
    memory = drop_features(memory, objective.memory_dropout, generator)
    weight = 0.0 if denoising is None else denoising.weight_at(step)
    output = model(
        tokens.input_ids,
        memory,
        attention_mask=tokens.attention_mask,
        labels=tokens.labels,
        return_logits=weight > 0,
        smoothing=objective.smoothing,
    )
    parts, added = {"caption": output.loss}, []
    if denoising is not None and weight > 0:
        noisy = perturb(
            tokens.input_ids,
            tokens.attention_mask,
            noise=denoising.noise,
            unknown_id=model.mask_token_id,
            pad_id=model.decoder.pad_id,
            prompt_NL=_prompts(tokens),
            stop_words=stop_words,
            generator=generator,
        )
        logits = model(noisy.input_ids, memory, attention_mask=noisy.attention_mask).logits
        parts["denoising"] = denoising_consistency(output.logits, logits, noisy, beta=denoising.beta)
        added.append((weight, parts["denoising"]))
    if objective.gate_entropy > 0:
        gates = [gate for adapter in model.adapters.values() for gate in adapter.gates().values()]
        parts["gate_entropy"] = gate_entropy(gates)
        added.append((objective.gate_entropy, parts["gate_entropy"]))
    return Losses(total=total_loss(output.loss, *added), parts=parts)


def drop_features(memory: Memory, share: float, generator: torch.Generator) -> Memory:
    """Zero a share of the memory's features, and scale the others so that their mean stays."""
    if share == 0.0:
        return memory
    seed = int(torch.randint(2**62, (), generator=generator))
    with seeded(seed):
        axes = {name: Axis(F.dropout(axis.vectors, share), axis.mask) for name, axis in memory.axes.items()}
        return Memory(axes, None if memory.patches is None else F.dropout(memory.patches, share))


def _prompts(tokens: CaptionTokens) -> torch.Tensor:
    """Mask the prompt of captions `BOS prompt caption EOS`: what is neither learned nor padding, but for BOS."""
    given_NL = (tokens.labels == IGNORE) & tokens.attention_mask.bool()
    given_NL[:, 0] = False
    return given_NL


def summed_loss(model: PseudoCap, tokens: CaptionTokens, memory: Memory) -> tuple[float, int]:
    """Sum the losses of the tokens of some captions, and count them: sums of several batches add up."""
    output = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels)
    count = int((tokens.labels[:, 1:] != IGNORE).sum())
    return float(output.loss) * count, count
