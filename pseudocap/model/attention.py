"""From words to the video. The separable cross-attention looks at its time axis and its space axis, at linear cost.

The video has been pooled once, at the end of the encoder, so for the separable attention it is T + S vectors and never
T * S. Keys and values are projected once per video (`project`) and then serve every decoding step, every beam and every
caption of that video (`forward`): rows of one video stand side by side, so their tokens are simply more queries to the
same keys, and nothing is ever expanded. Cost per word is O(T + S); against full cross-attention and a Perceiver
resampler see docs/experiments.md. Those two are here as well, to be held against it: over every patch of every frame,
and over the latents that a resampler (resampler.py) makes of them.

Legend: B videos, N captions (a multiple of B), L tokens, T frames, S vectors of one axis, M all vectors that are looked
at, R latents, D decoder width, E encoder width, H heads, K head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import InputError
from pseudocap.memory import Memory
from pseudocap.model.packing import Packing


@dataclass(frozen=True, slots=True)
class KeysValues:
    """One axis of B videos as one adapter sees it; `mask` is None where nothing is padded."""

    k_BHSK: torch.Tensor
    v_BHSK: torch.Tensor
    mask_B11S: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class ProjectedAxes:
    """Both axes of B videos as one adapter sees them. With a `packing` the words come in packed rows."""

    time: KeysValues
    space: KeysValues
    packing: Packing | None = None


@dataclass(frozen=True, slots=True)
class ProjectedVectors:
    """B videos as one adapter sees them that looks at a single set of vectors: those of `frames` frames, one after
    another, or with None a resampler's, which are of no frame and of no patch."""

    vectors: KeysValues
    frames: int | None
    packing: Packing | None = None


Projected = ProjectedAxes | ProjectedVectors


class AxisAttention(nn.Module):
    """Multi-head attention from words to one axis of the memory, without an output projection.

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
        mask_B11S = None if mask_BS is None else mask_BS[:, None, None]
        return KeysValues(self._heads(self.key(axis_BSE)), self._heads(self.value(axis_BSE)), mask_B11S)

    def forward(self, h_NLD: torch.Tensor, axis: KeysValues, packing: Packing | None = None) -> torch.Tensor:
        q_NLD = self.query(h_NLD)
        q_NLD = q_NLD if packing is None else packing.unpack(q_NLD)
        q_BHLK = self._queries(q_NLD, axis)
        out_BHLK = F.scaled_dot_product_attention(q_BHLK, axis.k_BHSK, axis.v_BHSK, attn_mask=axis.mask_B11S)
        out_NLD = out_BHLK.transpose(1, 2).reshape(q_NLD.shape)
        return out_NLD if packing is None else packing.pack(out_NLD)

    def weights(self, h_NLD: torch.Tensor, axis: KeysValues) -> torch.Tensor:
        """What the attention keeps to itself: the weight [N,H,L,S] of each vector for each token, in float32."""
        N, L, _ = h_NLD.shape
        q_BHLK, k_BHSK = self._queries(self.query(h_NLD), axis).float(), axis.k_BHSK.float()
        scores_BHLS = q_BHLK @ k_BHSK.mT / math.sqrt(k_BHSK.shape[3])
        if axis.mask_B11S is not None:
            scores_BHLS = scores_BHLS.masked_fill(~axis.mask_B11S, -torch.inf)
        shares_BHLS = scores_BHLS.softmax(dim=-1)
        B, H, _, S = shares_BHLS.shape
        return shares_BHLS.view(B, H, N // B, L, S).transpose(1, 2).reshape(N, H, L, S)

    def _queries(self, q_NLD: torch.Tensor, axis: KeysValues) -> torch.Tensor:
        """The captions of a video become one long query: (N, L) -> (B, N/B * L). A view both ways."""
        N, L, D = q_NLD.shape
        B = axis.k_BHSK.shape[0]
        return self._heads(q_NLD.view(B, N // B * L, D))

    def _heads(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD.unflatten(2, (self.heads, -1)).transpose(1, 2)


class SeparableCrossAttention(nn.Module):
    """W_mix [Attn(h, LN(time)) ; Attn(h, LN(space))]: separate weights per axis, no output projection but W_mix."""

    def __init__(self, *, width: int, memory_width: int, heads: int) -> None:
        super().__init__()
        self.time = AxisAttention(width=width, memory_width=memory_width, heads=heads)
        self.space = AxisAttention(width=width, memory_width=memory_width, heads=heads)
        self.mix = nn.Linear(2 * width, width, bias=False)

    def project(self, memory: Memory, *, padded: bool = True) -> ProjectedAxes:
        """`padded=False` promises that the masks hide nothing; they would only slow the attention down."""
        return ProjectedAxes(
            time=self.time.project(memory.time, memory.time_mask if padded else None),
            space=self.space.project(memory.space, memory.space_mask if padded else None),
        )

    def forward(self, h_NLD: torch.Tensor, axes: ProjectedAxes) -> torch.Tensor:
        time_NLD = self.time(h_NLD, axes.time, axes.packing)
        return self.mix(torch.cat((time_NLD, self.space(h_NLD, axes.space, axes.packing)), dim=-1))

    def shares(self, h_NLD: torch.Tensor, axes: ProjectedAxes) -> tuple[torch.Tensor, torch.Tensor]:
        """How much each token looks at each frame [N,L,T] and at each patch [N,L,S], the mean over the heads."""
        time, space = self.time.weights(h_NLD, axes.time), self.space.weights(h_NLD, axes.space)
        return time.mean(dim=1), space.mean(dim=1)


class FullCrossAttention(nn.Module):
    """W_out Attn(h, LN(vectors)): one attention over every patch of every frame, or over a resampler's latents.

    It has as many heads, as wide, as the separable one has for both axes together (2H of K), and W_out the shape of
    W_mix. So the weights are as many; only the LayerNorm is one where the separable one has two, 2E numbers fewer.
    """

    def __init__(self, *, width: int, memory_width: int, heads: int) -> None:
        super().__init__()
        self.vectors = AxisAttention(width=width, memory_width=memory_width, heads=2 * heads, inner=2 * width)
        self.out = nn.Linear(2 * width, width, bias=False)

    def project(self, seen: Memory | torch.Tensor, *, padded: bool = True) -> ProjectedVectors:
        """A memory that has patches, or latents [B,R,E], of which none is padding."""
        if isinstance(seen, torch.Tensor):
            return ProjectedVectors(self.vectors.project(seen, None), frames=None)
        return ProjectedVectors(self.vectors.project(*every_patch(seen, padded=padded)), frames=seen.time.shape[1])

    def forward(self, h_NLD: torch.Tensor, seen: ProjectedVectors) -> torch.Tensor:
        return self.out(self.vectors(h_NLD, seen.vectors, seen.packing))

    def shares(self, h_NLD: torch.Tensor, seen: ProjectedVectors) -> tuple[torch.Tensor, torch.Tensor]:
        """As of the separable attention: the sums of one map over the patches of a frame, and over the frames."""
        if seen.frames is None:
            raise InputError(
                "a captioner with attention='resampler' has no attention maps: its words look at latents, each made "
                "of all patches of all frames; explain one with attention 'separable' or 'full'"
            )
        map_NLTS = self.vectors.weights(h_NLD, seen.vectors).mean(dim=1).unflatten(-1, (seen.frames, -1))
        return map_NLTS.sum(dim=-1), map_NLTS.sum(dim=-2)


def every_patch(memory: Memory, *, padded: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The vectors [B,M,E] of all patches, frame by frame, with their mask where something is padded."""
    assert memory.patches is not None, "check_memory has seen them"
    mask_BTS = memory.time_mask[:, :, None] & memory.space_mask[:, None] if padded else None
    return memory.patches.flatten(1, 2), None if mask_BTS is None else mask_BTS.flatten(1)


def require_memory(memory: object) -> None:
    if not isinstance(memory, Memory):
        raise InputError(f"memory must be what model.encode(frames) returns, not a {type(memory).__name__}")


def check_memory(memory: Memory, *, memory_width: int, rows: int, patches: bool = False) -> bool:
    """A memory must fit the adapters, and its videos must share the captions evenly. Returns whether it is padded.

    `patches` is whether the adapters look at all patches, so that the memory must have kept them.
    """
    for name in ("time", "space"):
        axis, mask = getattr(memory, name), getattr(memory, f"{name}_mask")
        if axis.dim() != 3 or axis.shape[2] != memory_width:
            raise InputError(
                f"memory.{name} must be [B, vectors, {memory_width}], as this checkpoint's encoder writes it, "
                f"not {list(axis.shape)}"
            )
        if mask.dtype != torch.bool or mask.shape != axis.shape[:2]:
            raise InputError(
                f"memory.{name}_mask must be boolean {list(axis.shape[:2])}, not {mask.dtype} {list(mask.shape)}"
            )
    if len(memory.time) != len(memory.space):
        raise InputError(f"memory.time holds {len(memory.time)} videos and memory.space {len(memory.space)}")
    if patches:
        _check_patches(memory)
    if not len(memory) or rows % len(memory):
        raise InputError(
            f"{rows} captions cannot be shared evenly by {len(memory)} videos: give every video the same number, "
            "the captions of a video side by side"
        )
    # One look at the device for all three answers.
    seen = [mask.any(dim=1).all() for mask in (memory.time_mask, memory.space_mask)]
    time_seen, space_seen, whole = torch.stack([*seen, memory.time_mask.all() & memory.space_mask.all()]).tolist()
    for name, any_seen in (("time", time_seen), ("space", space_seen)):
        if not any_seen:
            raise InputError(f"memory.{name}_mask hides a whole video; drop that video from the batch")
    return not whole


def _check_patches(memory: Memory) -> None:
    if memory.patches is None:
        raise InputError(
            "memory.patches is missing, and this captioner's attention looks at every patch of every frame: take what "
            "its own model.encode(frames) returns, or memories of `pseudocap encode --patches`"
        )
    expected = [*memory.time.shape[:2], *memory.space.shape[1:]]
    if list(memory.patches.shape) != expected:
        raise InputError(
            f"memory.patches must be [B, frames, patches, width], here {expected} as memory.time and memory.space say, "
            f"not {list(memory.patches.shape)}"
        )
