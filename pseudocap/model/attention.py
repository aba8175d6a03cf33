"""The separable cross-attention: every word looks at the time axis and the space axis of the video, at linear cost.

The video has been pooled once, at the end of the encoder, so here it is T + S vectors and never T * S. Keys and
values are projected once per video (`project`) and then serve every decoding step, every beam and every caption of
that video (`forward`): rows of one video stand side by side, so their tokens are simply more queries to the same
keys, and nothing is ever expanded. Cost per word is O(T + S); against full cross-attention and a Perceiver resampler
see docs/experiments.md.

Legend: B videos, N captions (a multiple of B), L tokens, S vectors of one axis, D decoder width, E encoder width,
H heads, K head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import InputError
from pseudocap.model.packing import Packing
from pseudocap.types import VideoMemory


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


class AxisAttention(nn.Module):
    """Multi-head attention from words to one axis of the memory, without an output projection."""

    def __init__(self, *, width: int, memory_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(memory_width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.value = nn.Linear(memory_width, width, bias=False)

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

    def project(self, memory: VideoMemory, *, padded: bool = True) -> ProjectedAxes:
        """`padded=False` promises that the masks hide nothing; they would only slow the attention down."""
        return ProjectedAxes(
            time=self.time.project(memory.time, memory.time_mask if padded else None),
            space=self.space.project(memory.space, memory.space_mask if padded else None),
        )

    def forward(self, h_NLD: torch.Tensor, axes: ProjectedAxes) -> torch.Tensor:
        time_NLD = self.time(h_NLD, axes.time, axes.packing)
        return self.mix(torch.cat((time_NLD, self.space(h_NLD, axes.space, axes.packing)), dim=-1))


def require_memory(memory: object) -> None:
    if not isinstance(memory, VideoMemory):
        raise InputError(f"memory must be what model.encode(frames) returns, not a {type(memory).__name__}")


def check_memory(memory: VideoMemory, *, memory_width: int, rows: int) -> bool:
    """A memory must fit the adapters, and its videos must share the captions evenly. Returns whether it is padded."""
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
