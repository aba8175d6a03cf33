"""Attend from words to the memory, at a cost linear in its vectors.

The video has been pooled once, at the end of its encoders, so for the separable attention it is a few dozen vectors on
each axis and never T * S. Keys and values are projected once per video (`project`) and then serve every decoding step,
every beam and every caption of that video (`forward`): rows of one video stand side by side, so their tokens are simply
more queries to the same keys, and nothing is ever expanded. Cost per word is O(T + S); against full cross-attention and
a Perceiver resampler see docs/experiments.md. Those two are here as well, to be held against it: over every patch of
every frame, and over the latents that a resampler (resampler.py) makes of them.

Legend: B videos, N captions (a multiple of B), L tokens, T frames, S vectors of one axis, M all vectors that are
attended to, R latents, D decoder width, A width of the attention, E encoder width, H heads, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import AXES, SIGHT, Axis, Memory
from pseudocap.model.packing import Packing


@dataclass(frozen=True, slots=True)
class KeysValues:
    """Hold one axis of B videos as one adapter sees it; `mask` is None where nothing is padded.

    `present` is False for the videos that have nothing on a padded axis. The mask hides nothing of those, since a
    softmax over nothing is NaN; their values are zero instead, so that exactly zero is what they give.
    """

    k_BHSK: torch.Tensor
    v_BHSK: torch.Tensor
    mask_B11S: torch.Tensor | None
    present_B111: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class ProjectedAxes:
    """Hold each axis of B videos as one adapter sees it, by name. With a `packing` the words come in packed rows."""

    axes: dict[str, KeysValues]
    packing: Packing | None = None


@dataclass(frozen=True, slots=True)
class ProjectedVectors:
    """Hold B videos as an adapter with one set of vectors sees them: those of `frames` frames, one after another, or
    with None a resampler's, which are of no frame and of no patch."""

    vectors: KeysValues
    frames: int | None
    packing: Packing | None = None


Projected = ProjectedAxes | ProjectedVectors


START = 0.02  # standard deviation of new weights, as OPT itself starts


class AxisAttention(nn.Module):
    """Attend with multiple heads from words to one axis of the memory, without an output projection.

    `inner` is the width of all heads together, the words' own unless given.
    """

    def __init__(self, *, width: int, memory_width: int, heads: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or width
        self.heads = heads
        self.norm = nn.LayerNorm(memory_width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(memory_width, inner, bias=False)
        self.value = nn.Linear(memory_width, inner, bias=False)

    def project(self, axis_BSE: torch.Tensor, mask_BS: torch.Tensor | None) -> KeysValues:
        axis_BSE = self.norm(axis_BSE)
        k_BHSK, v_BHSK = self._heads(self.key(axis_BSE)), self._heads(self.value(axis_BSE))
        if mask_BS is None:
            return KeysValues(k_BHSK, v_BHSK, None)
        mask_B11S = mask_BS[:, None, None]
        present_B111 = mask_B11S.any(dim=3, keepdim=True)
        return KeysValues(k_BHSK, v_BHSK.masked_fill(~present_B111, 0), mask_B11S | ~present_B111, present_B111)

    def forward(self, h_NLD: torch.Tensor, axis: KeysValues, packing: Packing | None = None) -> torch.Tensor:
        q_NLD = self.query(h_NLD)
        q_NLD = q_NLD if packing is None else packing.unpack(q_NLD)
        q_BHLK = self._queries(q_NLD, axis)
        out_BHLK = F.scaled_dot_product_attention(q_BHLK, axis.k_BHSK, axis.v_BHSK, attn_mask=axis.mask_B11S)
        out_NLD = out_BHLK.transpose(1, 2).reshape(q_NLD.shape)
        return out_NLD if packing is None else packing.pack(out_NLD)

    def weights(self, h_NLD: torch.Tensor, axis: KeysValues) -> torch.Tensor:
        """Return the weight [N,H,L,S] of each vector for each token, in float32, which the fused attention hides."""
        N, L, _ = h_NLD.shape
        q_BHLK, k_BHSK = self._queries(self.query(h_NLD), axis).float(), axis.k_BHSK.float()
        scores_BHLS = q_BHLK @ k_BHSK.mT / math.sqrt(k_BHSK.shape[3])
        if axis.mask_B11S is not None:
            scores_BHLS = scores_BHLS.masked_fill(~axis.mask_B11S, -torch.inf)
        shares_BHLS = scores_BHLS.softmax(dim=-1)
        if axis.present_B111 is not None:
            shares_BHLS = shares_BHLS.masked_fill(~axis.present_B111, 0)
        B, H, _, S = shares_BHLS.shape
        return shares_BHLS.view(B, H, N // B, L, S).transpose(1, 2).reshape(N, H, L, S)

    def _queries(self, q_NLD: torch.Tensor, axis: KeysValues) -> torch.Tensor:
        """Join the captions of a video into one long query: (N, L) -> (B, N/B * L). A view both ways."""
        N, L, D = q_NLD.shape
        B = axis.k_BHSK.shape[0]
        return self._heads(q_NLD.view(B, N // B * L, D))

    def _heads(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD.unflatten(2, (self.heads, -1)).transpose(1, 2)


class SeparableCrossAttention(nn.Module):
    """Compute W_mix [Attn(h, LN(axis)) of every axis]: separate weights per axis, no output projection but W_mix.

    `memory_widths` names the axes. `inner` is the width of the attention to each, the words' own unless given.
    """

    def __init__(self, *, width: int, memory_widths: Mapping[str, int], heads: int, inner: int | None = None) -> None:
        super().__init__()
        self.axes = tuple(name for name in AXES if name in memory_widths)
        self.inner = inner or width
        for name in self.axes:
            self.add_module(
                name, AxisAttention(width=width, memory_width=memory_widths[name], heads=heads, inner=self.inner)
            )
        self.mix = nn.Linear(len(self.axes) * self.inner, width, bias=False)

    def project(self, memory: Memory, *, padded: Collection[str] = AXES) -> ProjectedAxes:
        """Project every axis once. `padded` names those whose masks hide something; a mask that hides nothing would
        only slow the attention down."""
        projected = {}
        for name, attention in self._attentions():
            axis = memory.axes.get(name)
            if axis is None or not axis.mask.shape[1]:
                projected[name] = attention.project(*_nothing(memory, attention.norm.normalized_shape[0]))
            else:
                projected[name] = attention.project(axis.vectors, axis.mask if name in padded else None)
        return ProjectedAxes(projected)

    def forward(self, h_NLD: torch.Tensor, seen: ProjectedAxes) -> torch.Tensor:
        each = [attention(h_NLD, seen.axes[name], seen.packing) for name, attention in self._attentions()]
        return self.mix(torch.cat(each, dim=-1))

    def shares(self, h_NLD: torch.Tensor, seen: ProjectedAxes) -> dict[str, torch.Tensor]:
        """Return how much each token attends to each vector of each axis [N,L,S], the mean over the heads."""
        return {name: each.weights(h_NLD, seen.axes[name]).mean(dim=1) for name, each in self._attentions()}

    def mixed(self) -> dict[str, float]:
        """Return the norm of each axis' block of W_mix."""
        blocks = zip(self.axes, self.mix.weight.detach().split(self.inner, dim=1), strict=True)
        return {name: float(block.float().norm()) for name, block in blocks}

    @torch.no_grad()
    def grow(self, name: str, *, memory_width: int) -> None:
        """Add an axis. Its block of W_mix starts at zero, so the attention gives what it gave."""
        if name not in AXES or name in self.axes:
            raise InputError(f"an attention to {', '.join(self.axes)} cannot gain the axis {name!r}")
        axes = tuple(each for each in AXES if each in (*self.axes, name))
        width, heads = self.mix.out_features, next(self._attentions())[1].heads
        new = AxisAttention(width=width, memory_width=memory_width, heads=heads, inner=self.inner)
        for linear in (new.query, new.key, new.value):
            nn.init.normal_(linear.weight, std=START)
        blocks = dict(zip(self.axes, self.mix.weight.split(self.inner, dim=1), strict=True))
        blocks[name] = self.mix.weight.new_zeros(width, self.inner)
        self.mix.weight = nn.Parameter(torch.cat([blocks[each] for each in axes], dim=1))
        self.axes, self.mix.in_features = axes, len(axes) * self.inner
        self.add_module(name, new.to(self.mix.weight))
        for part in (*axes, "mix"):  # in the order of a new attention's, which an optimiser numbers them by
            self.add_module(part, self._modules.pop(part))

    def _attentions(self) -> Iterator[tuple[str, AxisAttention]]:
        return ((name, cast(AxisAttention, getattr(self, name))) for name in self.axes)


def _nothing(memory: Memory, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stand one masked vector per video in for an axis that is absent: every weight still takes part, so that ranks
    whose videos have other axes can average their gradients."""
    any_axis = next(iter(memory.axes.values()))
    return any_axis.vectors.new_zeros(len(memory), 1, width), any_axis.mask.new_zeros(len(memory), 1)


class FullCrossAttention(nn.Module):
    """Compute W_out Attn(h, LN(vectors)): one attention over every patch of every frame, or over a resampler's latents.

    It has as many heads, as wide, as the separable one has for both axes together (2H of K), and W_out the shape of
    W_mix. So the weights are as many; only the LayerNorm is one where the separable one has two, 2E numbers fewer.
    """

    def __init__(self, *, width: int, memory_widths: Mapping[str, int], heads: int, inner: int | None = None) -> None:
        if {*memory_widths} != {*SIGHT}:
            raise ConfigError(
                f"attention to every patch is of time and space together, and axes are {', '.join(memory_widths)}; "
                "take attention='separable'"
            )
        super().__init__()
        inner = 2 * (inner or width)
        self.vectors = AxisAttention(width=width, memory_width=memory_widths["time"], heads=2 * heads, inner=inner)
        self.out = nn.Linear(inner, width, bias=False)

    def project(self, seen: Memory | torch.Tensor, *, padded: Collection[str] = AXES) -> ProjectedVectors:
        """Project a memory that has patches, or latents [B,R,E], of which none is padding."""
        if isinstance(seen, torch.Tensor):
            return ProjectedVectors(self.vectors.project(seen, None), frames=None)
        return ProjectedVectors(self.vectors.project(*every_patch(seen, padded=padded)), frames=seen.time.shape[1])

    def forward(self, h_NLD: torch.Tensor, seen: ProjectedVectors) -> torch.Tensor:
        return self.out(self.vectors(h_NLD, seen.vectors, seen.packing))

    def shares(self, h_NLD: torch.Tensor, seen: ProjectedVectors) -> dict[str, torch.Tensor]:
        """Return the sums of one map over the patches of a frame, and over the frames."""
        if seen.frames is None:
            raise InputError(
                "a captioner with attention='resampler' has no attention maps: its words look at latents, each made "
                "of all patches of all frames; explain one with attention 'separable' or 'full'"
            )
        map_NLTS = self.vectors.weights(h_NLD, seen.vectors).mean(dim=1).unflatten(-1, (seen.frames, -1))
        return {"time": map_NLTS.sum(dim=-1), "space": map_NLTS.sum(dim=-2)}


def every_patch(memory: Memory, *, padded: Collection[str]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the vectors [B,M,E] of all patches, frame by frame, with their mask where something is padded."""
    assert memory.patches is not None, "check_memory has seen them"
    mask_BTS = memory.time_mask[:, :, None] & memory.space_mask[:, None] if set(SIGHT) & set(padded) else None
    return memory.patches.flatten(1, 2), None if mask_BTS is None else mask_BTS.flatten(1)


def require_memory(memory: object) -> None:
    if not isinstance(memory, Memory):
        raise InputError(f"memory must be what model.encode(frames) returns, not a {type(memory).__name__}")


def check_memory(
    memory: Memory, *, memory_widths: Mapping[str, int], rows: int, patches: bool = False
) -> frozenset[str]:
    """Check that a memory fits the adapters and that its videos share the captions evenly, and return which of its axes
    are padded.

    `memory_widths` names the axes that the adapters attend to; one that the memory lacks counts as masked. `patches` is
    whether they attend to all patches, so that the memory must have kept them.
    """
    axes = {name: memory.axes[name] for name in AXES if name in memory_widths and name in memory.axes}
    for name, axis in axes.items():
        _check_axis(name, axis, memory_widths[name])
    sizes = {name: len(axis.vectors) for name, axis in memory.axes.items()}
    for name, size in sizes.items():
        if size != len(memory):
            first = next(iter(sizes))
            raise InputError(f"memory.{first} holds {sizes[first]} videos and memory.{name} {size}")
    if not len(memory) or rows % len(memory):
        raise InputError(
            f"{rows} captions cannot be shared evenly by {len(memory)} videos: give every video the same number, "
            "the captions of a video side by side"
        )
    padded = _padded(axes, memory_widths)
    if patches:
        _check_patches(memory)
    return padded


def _check_axis(name: str, axis: Axis, width: int) -> None:
    if axis.vectors.dim() != 3 or axis.vectors.shape[2] != width:
        raise InputError(
            f"memory.{name} must be [B, vectors, {width}], as this checkpoint's encoder writes it, "
            f"not {list(axis.vectors.shape)}"
        )
    expected = axis.vectors.shape[:2]
    if axis.mask.dtype != torch.bool or axis.mask.shape != expected:
        raise InputError(
            f"memory.{name}_mask must be boolean {list(expected)}, not {axis.mask.dtype} {list(axis.mask.shape)}"
        )


def _padded(axes: Mapping[str, Axis], wanted: Collection[str]) -> frozenset[str]:
    """Refuse a video without anything to attend to, and one that has frames but no patches or patches but no frames."""
    if not axes:
        raise InputError(f"memory has none of the axes that this captioner attends to: {', '.join(wanted)}")
    present = {name: axis.mask.any(dim=1) for name, axis in axes.items()}
    nothing_B = torch.zeros_like(next(iter(present.values())))
    present = {name: present.get(name, nothing_B) for name in AXES if name in wanted}
    anything_B = torch.stack(list(present.values())).any(dim=0)
    sight = [name for name in SIGHT if name in present]
    seen_B = torch.stack([nothing_B, *(present[name] for name in sight)]).any(dim=0)
    hides = {name: (~present[name] & (seen_B | ~anything_B)).any() for name in sight or present}
    holes = {name: ~axis.mask.all() for name, axis in axes.items()}
    answers = torch.stack([*hides.values(), *holes.values()]).tolist()  # one look at the device for all of them
    for name, hidden in zip(hides, answers, strict=False):
        if hidden and name not in axes:
            raise InputError(f"memory has no axis {name}, and this captioner attends to {', '.join(wanted)}")
        if hidden:
            raise InputError(f"memory.{name}_mask hides a whole video; drop that video from the batch")
    padded = {name for name, hole in zip(holes, answers[len(hides) :], strict=True) if hole}
    return frozenset(padded | (set(wanted) - set(axes)))


def _check_patches(memory: Memory) -> None:
    if memory.patches is None:
        raise InputError(
            "memory.patches is missing, and this captioner's attention looks at every patch of every frame: take what "
            "its own model.encode(frames) returns, or memories of `pseudocap encode --patches`"
        )
    expected = [*memory.time.shape[:2], *memory.space.shape[1:]]
    if list(memory.patches.shape) != expected:
        raise InputError(
            f"memory.patches must be [B, frames, patches, width], here {expected} by memory.time and memory.space, "
            f"not {list(memory.patches.shape)}"
        )
