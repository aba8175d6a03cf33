"""Embed texts and memories in one space: a tower for each, and the similarities of what they give.

Legend of the shape suffixes: A texts, B clips, N vectors of a text, M vectors of a clip, E width of what a tower reads,
W its own width, D width of the common space.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import InputError
from pseudocap.memory import Axis, Memory
from pseudocap.model.bottleneck import BottleneckTransformer, Patches, PatchGrid
from pseudocap.model.config import AUDIO, VIDEO
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.both import encode_clips
from pseudocap.model.frozen import keep_frozen_out
from pseudocap.model.network import seeded
from pseudocap.model.retrieval_config import FINE, POOLED, RetrieverConfig
from pseudocap.model.text_towers import TextTower
from pseudocap.types import MOST_WINDOWS

FROZEN = ("text.", "encoder.", "audio_encoder.")  # begin the names of what is no tower's
PRODUCTS_AT_ONCE = 2**26  # of vectors, in fine similarities without gradients


@dataclass(slots=True)
class Embedded:
    """Hold vectors [B,N,D] of length one, which of them are real [B,N], and their weights before the softmax [B,N].
    For the similarity `dot` each item has one."""

    vectors: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice) -> Embedded:
        return Embedded(self.vectors[rows], self.mask[rows], self.weights[rows])

    @property
    def pooled(self) -> torch.Tensor:
        """Return one vector [B,D] of length one of each item: what an index holds."""
        shares_BN = _softmax(self.weights, self.mask)
        return F.normalize((shares_BN[..., None] * self.vectors).sum(dim=1), dim=-1)

    def to(self, device: torch.device | str) -> Embedded:
        return Embedded(self.vectors.to(device), self.mask.to(device), self.weights.to(device))

    def padded(self, length: int) -> Embedded:
        """Return it with so many vectors of each item, those that are added masked."""
        more = length - self.mask.shape[1]
        return Embedded(
            F.pad(self.vectors, (0, 0, 0, more)), F.pad(self.mask, (0, more)), F.pad(self.weights, (0, more))
        )

    @classmethod
    def joined(cls, parts: Sequence[Embedded]) -> Embedded:
        """Join batches into one, padded to the most vectors of an item."""
        padded = [part.padded(max(part.mask.shape[1] for part in parts)) for part in parts]
        tensors = ([getattr(part, name) for part in padded] for name in ("vectors", "mask", "weights"))
        return cls(*map(torch.cat, tensors))


def fine_similarity(
    text: torch.Tensor,
    media: torch.Tensor,
    *,
    text_weights: torch.Tensor,
    media_weights: torch.Tensor,
    text_mask: torch.Tensor | None = None,
    media_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compare every vector of each text [A,N,D] with every one of each clip [B,M,D] (VALOR, equation 3): [A,B].

    The mean of two sums: of each text vector's largest dot product with a vector of the clip, and the reverse. Vectors
    are normalised here. The weights [A,N] and [B,M] become shares by a softmax. Where a mask is False a vector is in no
    sum and no maximum; a text or clip without any vector has the similarity 0 with everything.
    """
    for name, vectors, each in (("text", text, text_weights), ("media", media, media_weights)):
        if vectors.dim() != 3 or each.shape != vectors.shape[:2]:
            raise InputError(f"{name} must be [items, vectors, D] with weights [items, vectors], not "
                             f"{list(vectors.shape)} and {list(each.shape)}")  # fmt: skip
    text_real_AN = torch.ones_like(text_weights, dtype=torch.bool) if text_mask is None else text_mask
    media_real_BM = torch.ones_like(media_weights, dtype=torch.bool) if media_mask is None else media_mask
    s_ABNM = torch.einsum("and,bmd->abnm", F.normalize(text, dim=-1), F.normalize(media, dim=-1))
    best_ABN = s_ABNM.masked_fill(~media_real_BM[None, :, None], -torch.inf).amax(dim=3)
    best_ABM = s_ABNM.masked_fill(~text_real_AN[:, None, :, None], -torch.inf).amax(dim=2)
    any_AB = text_real_AN.any(dim=1)[:, None] & media_real_BM.any(dim=1)
    of_text_AB = torch.einsum(
        "an,abn->ab", _softmax(text_weights, text_real_AN), best_ABN.masked_fill(~any_AB[..., None], 0)
    )
    of_media_AB = torch.einsum(
        "bm,abm->ab", _softmax(media_weights, media_real_BM), best_ABM.masked_fill(~any_AB[..., None], 0)
    )
    return (of_text_AB + of_media_AB) / 2


def fine_scores(texts: Embedded, media: Embedded) -> torch.Tensor:
    """Return the fine similarity of texts with clips [A,B]; without gradients of a part of the texts at a time."""

    def fine(some: Embedded) -> torch.Tensor:
        return fine_similarity(
            some.vectors, media.vectors, text_weights=some.weights, media_weights=media.weights,
            text_mask=some.mask, media_mask=media.mask,
        )  # fmt: skip

    if torch.is_grad_enabled():
        return fine(texts)
    of_a_text = texts.mask.shape[1] * media.mask.numel()
    at_once = max(1, PRODUCTS_AT_ONCE // max(1, of_a_text))
    return torch.cat([fine(texts[at : at + at_once]) for at in range(0, len(texts), at_once)])


def read_axes(memory: Memory, axes: Sequence[str], widths: Mapping[str, int], *, reader: str) -> dict[str, Axis]:
    """Return those axes that are read and that a memory has; InputError where that is none, or another encoder's."""
    found = {axis: memory.axes[axis] for axis in axes if axis in memory.axes}
    for axis, part in found.items():
        if part.vectors.shape[-1] != (width := widths[axis]):
            raise InputError(f"the memory's {axis} is {part.vectors.shape[-1]} wide, and its encoder's is {width}")
    if not found:
        raise InputError(f"the memory has no axis of {', '.join(axes)}, which this {reader} reads")
    return found


def _softmax(weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return shares of what is real, which sum to 1; zeros where nothing is."""
    return weights.masked_fill(~mask, -torch.inf).softmax(dim=-1).masked_fill(~mask, 0)


def _mean(vectors_BNE: torch.Tensor, mask_BN: torch.Tensor) -> torch.Tensor:
    """Return the mean [B,1,E] of what is real."""
    shares_BN = _softmax(torch.zeros_like(vectors_BNE[..., 0]), mask_BN)
    return (shares_BN[..., None] * vectors_BNE).sum(dim=1, keepdim=True)


def in_blocks(axis: Axis, grid: tuple[int, int], blocks: int) -> Axis:
    """Return the means [B,blocks * blocks,E] of blocks of a grid of patches, of those that are real."""
    rows, columns = (torch.arange(size) * blocks // size for size in grid)
    block_N = (rows[:, None] * blocks + columns).flatten().to(axis.mask.device)
    of_NK = F.one_hot(block_N, blocks * blocks)
    real_BNK = axis.mask[..., None] * of_NK
    counts_BK = real_BNK.sum(dim=1)
    sums_BKE = torch.einsum("bnk,bne->bke", real_BNK.to(axis.vectors.dtype), axis.vectors)
    return Axis(sums_BKE / counts_BK.clamp(min=1)[..., None], counts_BK > 0)


class Tower(nn.Module):
    """Read vectors of several kinds with a Transformer, and project them to the common space: its first output, which
    stands for all, or with `fine` all others. Without layers it projects the vectors themselves, or their mean."""

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        dim: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        fine: bool,
        means: bool = False,
    ) -> None:
        super().__init__()
        self.fine = fine
        self.project: nn.Module = nn.Linear(width, dim) if layers else nn.Identity()
        self.inputs = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(each), nn.Linear(each, width)) if layers else nn.Linear(each, dim)
                for name, each in widths.items()
            }
        )
        shape: dict[str, Any] = {"batch_first": True, "norm_first": True, "dropout": dropout}
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, 2 * width, **shape) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if layers else nn.Identity()
        self.first = nn.Parameter(0.02 * torch.randn(width)) if layers and not fine else None
        self.weigh = nn.Linear(width if layers else dim, 1, bias=False) if fine else None
        self.means = (
            nn.ModuleDict(
                {
                    name: nn.Sequential(nn.LayerNorm(each), nn.Dropout(dropout), nn.Linear(each, dim, bias=False))
                    for name, each in widths.items()
                }
            )
            if means and layers
            else None
        )

    def forward(self, parts: Mapping[str, Axis]) -> Embedded:
        h_BNW = torch.cat([self.inputs[name](part.vectors) for name, part in parts.items()], dim=1)
        mask_BN = torch.cat([part.mask for part in parts.values()], dim=1)
        if self.first is not None:
            h_BNW = torch.cat([self.first.expand(len(h_BNW), 1, -1), h_BNW], dim=1)
            mask_BN = F.pad(mask_BN, (1, 0), value=True)
        for layer in self.layers:
            h_BNW = layer(h_BNW, src_key_padding_mask=~mask_BN)
        h_BNW = self.norm(h_BNW)
        if self.weigh is not None:
            h_BNW = h_BNW.masked_fill(~mask_BN[..., None], 0)
            return Embedded(
                F.normalize(self.project(h_BNW).float(), dim=-1), mask_BN, self.weigh(h_BNW)[..., 0].float()
            )
        h_B1W = h_BNW[:, :1] if self.first is not None else _mean(h_BNW, mask_BN)
        h_B1D = self.project(h_B1W)
        if self.means is not None:
            for name, part in parts.items():
                h_B1D = h_B1D + self.means[name](_mean(part.vectors, part.mask))
        vectors_B1D = F.normalize(h_B1D.float(), dim=-1)
        return Embedded(vectors_B1D, mask_BN.any(dim=1, keepdim=True), torch.zeros_like(vectors_B1D[..., 0]))


class BottleneckTower(nn.Module):
    """Read every patch of a clip, and its sound, by a Transformer each, which share bottleneck tokens, and project the
    mean of their [CLS] to the common space."""

    def __init__(self, encoder: Encoder, config: RetrieverConfig, *, audio_encoder: AudioEncoder | None = None) -> None:
        super().__init__()
        preprocess = config.preprocess
        patches = math.prod(encoder.grid(preprocess.size, preprocess.size))
        grids = {VIDEO: PatchGrid(steps=preprocess.frames, patches=patches, width=encoder.width("space"))}
        self.rows = 1
        if audio_encoder is not None:
            sound, self.rows = audio_encoder.preprocess, audio_encoder.rows
            steps = MOST_WINDOWS * max(1, round(sound.seconds * sound.moments))
            width = audio_encoder.width("sound") // self.rows
            grids[AUDIO] = PatchGrid(steps=steps, patches=self.rows, width=width)
        self.transformer = BottleneckTransformer(
            grids,
            width=config.width,
            depth=config.media_layers,
            heads=config.heads,
            bottlenecks=config.bottlenecks,
            fusion_layer=config.fusion_layer,
            dropout=config.dropout,
        )
        self.project = nn.Linear(config.width, config.dim)

    def forward(self, memory: Memory) -> Embedded:
        clips = {}
        if "time" in memory.axes:
            if memory.patches is None:
                raise InputError(
                    "this retriever reads every patch, and the memory has none: `pseudocap encode --patches`"
                )
            clips[VIDEO] = Patches(memory.patches, memory.time_mask)
        if (sound := memory.axes.get("sound")) is not None:
            clips[AUDIO] = Patches(sound.vectors.unflatten(2, (self.rows, -1)), sound.mask)
        vectors_B1D = F.normalize(self.project(self.transformer(clips)).float(), dim=-1)[:, None]
        return Embedded(
            vectors_B1D,
            vectors_B1D.new_ones(vectors_B1D.shape[:2], dtype=torch.bool),
            torch.zeros_like(vectors_B1D[..., 0]),
        )


class Joining(nn.Module):
    """Join a text and a clip to one vector, for losses alone: attention of the first over both (thesis, 6.3.3)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm, self.feed = (
            nn.LayerNorm(dim),
            nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)),
        )

    def forward(self, text_BD: torch.Tensor, media_BD: torch.Tensor) -> torch.Tensor:
        both_B2D = torch.stack([text_BD, media_BD], dim=1)
        attended_B1D, _ = self.attention(text_BD[:, None], both_B2D, both_B2D, need_weights=False)
        h_BD = text_BD + attended_B1D[:, 0]
        joined_BD: torch.Tensor = F.normalize(h_BD + self.feed(self.norm(h_BD)), dim=-1)
        return joined_BD


class RetrievalNetwork(nn.Module):
    """Hold a frozen encoder, a language model, and the towers over both. Knows no files."""

    def __init__(
        self,
        encoder: Encoder,
        text: TextTower,
        config: RetrieverConfig,
        *,
        audio_encoder: AudioEncoder | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoder, self.audio_encoder, self.text, self.config = encoder, audio_encoder, text, config
        encoders = [each for each in (encoder, audio_encoder) if each is not None]
        self._widths = {axis: each.width(axis) for each in encoders for axis in each.axes}
        for each in encoders:
            each.requires_grad_(False)
        fine = config.similarity == FINE
        shape: dict[str, Any] = {"dim": config.dim, "width": config.width, "heads": config.heads}
        shape |= {"dropout": config.dropout, "fine": fine, "means": config.means}
        with seeded(seed):
            self.text_tower = Tower({"text": text.width}, layers=config.text_layers, **shape)
            widths = {axis: self._widths[axis] for axis in config.axes}
            self.media_tower = (
                Tower(widths, layers=config.media_layers, **shape)
                if config.media == POOLED
                else BottleneckTower(encoder, config, audio_encoder=audio_encoder)
            )
            self.join = Joining(config.dim, config.heads) if config.cross else None
        start = torch.tensor(config.temperature).log()
        self.log_temperature = nn.Parameter(start) if config.learn_temperature else None
        learned = {f"text.{name}" for name in text.unfreeze(config.text_frozen_below)}
        towers = {name for name, _ in self.named_parameters() if not name.startswith(FROZEN)}
        self._learned = frozenset(learned | towers)
        keep_frozen_out(self, self._learned.__contains__)
        self.eval()

    @property
    def trainable_names(self) -> set[str]:
        """Return the exact set of parameters that learn: the towers, and of the language model what is not frozen."""
        return set(self._learned)

    @property
    def device(self) -> torch.device:
        return next(self.media_tower.parameters()).device

    @property
    def temperature(self) -> torch.Tensor | float:
        """Return what similarities are divided by in losses; a learned one stays above CLIP's 0.01."""
        return self.config.temperature if self.log_temperature is None else self.log_temperature.exp().clamp(min=0.01)

    def train(self, mode: bool = True) -> Self:
        """Keep what is frozen in evaluation mode, also after a bare `.train()`."""
        super().train(mode)
        self.encoder.eval()
        if self.audio_encoder is not None:
            self.audio_encoder.eval()
        return self

    def encode(
        self,
        frames: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        *,
        sound: torch.Tensor | None = None,
        sound_lengths: torch.Tensor | None = None,
    ) -> Memory:
        """Encode frames float [B,T,3,H,W], normalised, and sound of a retriever that hears, as a captioner does."""
        given = (frames, frame_mask, sound, sound_lengths)
        return encode_clips(self.encoder, self.audio_encoder, *given, patches=self.config.needs_patches)

    def read(self, texts: Sequence[str]) -> Axis:
        """Return the language model's states of texts, which `embed_states` embeds; without layers above them the one
        of each text that has seen all of it."""
        states: Axis = self.text(texts, max_tokens=self.config.max_tokens)
        alone = self.config.text_layers == 0 and self.config.similarity != FINE
        return self.text.summary(states) if alone else states

    def embed_states(self, states: Axis) -> Embedded:
        embedded: Embedded = self.text_tower({"text": states})
        return embedded

    def embed_memory(self, memory: Memory) -> Embedded:
        """Embed clips by those axes of their memory that this retriever reads and that are there."""
        parts = read_axes(memory, self.config.axes, self._widths, reader="retriever")
        dtype = next(self.media_tower.parameters()).dtype
        here = Memory(parts, memory.patches if self.config.needs_patches else None).to(self.device, dtype)
        pooled = self.config.media == POOLED
        if pooled and (blocks := self.config.space_grid) is not None and "space" in here.axes:
            size = self.config.preprocess.size
            here.axes["space"] = in_blocks(here.axes["space"], self.encoder.grid(size, size), blocks)
        embedded: Embedded = self.media_tower(here.axes if pooled else here)
        return embedded

    @torch.autocast("cuda", enabled=False)
    @torch.autocast("cpu", enabled=False)
    def score(self, texts: Embedded, media: Embedded) -> torch.Tensor:
        """Return the similarity of each text with each clip [A,B]: also in mixed precision computed in full, for a
        loss divides what differs in the third decimal by a temperature."""
        if self.config.similarity != FINE:
            return texts.vectors[:, 0] @ media.vectors[:, 0].T
        return fine_scores(texts, media)


def __getattr__(name: str) -> object:
    """Offer Retriever, which knows files and so lies above this stage, by this module as well."""
    if name == "Retriever":
        return pkgutil.resolve_name("pseudocap.retriever:Retriever")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
