"""Fuse sight and sound through a few bottleneck tokens (MBT), as VideoCC's audio-visual retrieval does (4.1).

Each modality has a Transformer of its own over its patch tokens. From the fusion layer on, every layer also reads a few
tokens that all modalities share: each modality writes its own version of them, and their mean is what the next layer
reads, so nothing else crosses. The output is the mean of the modalities' [CLS].

Of patches of pixels and of a spectrogram (`picture_patches`, `spectrogram_patches`) this is VideoCC's encoder. A
Retriever with `media: bottleneck` has it over the patches of its encoder: of pixels (encoders/pixels.py), or of a
frozen network.

Legend of the shape suffixes: B clips, T frames, O steps of time, I patches of each, N tokens, G bottleneck tokens,
E width of a patch, W width of the Transformer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import ConfigError, InputError
from pseudocap.model.config import MODALITIES


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchGrid:
    """Describe the patches of a modality: so many steps of time at most, patches of each step, and their width."""

    steps: int
    patches: int
    width: int


VIDEOCC = {  # 32 frames of 224 x 224 pixels and 800 x 128 log-mel values (24 s), in patches of 16 x 16
    "video": PatchGrid(steps=32, patches=14 * 14, width=3 * 16 * 16),
    "audio": PatchGrid(steps=800 // 16, patches=128 // 16, width=16 * 16),
}


@dataclass(slots=True)
class Patches:
    """Hold the patches [B,O,I,E] of one modality, and which steps are real [B,O]; a silent clip has none."""

    vectors: torch.Tensor
    mask: torch.Tensor


class PatchStream(nn.Module):
    """Turn a modality's patches into tokens: projected, with learned positions of step and patch, behind [CLS]."""

    def __init__(self, grid: PatchGrid, width: int) -> None:
        super().__init__()
        self.grid = grid
        self.project = nn.Linear(grid.width, width)
        self.first, self.steps, self.patches = (
            nn.Parameter(0.02 * torch.randn(count, width)) for count in (1, grid.steps, grid.patches)
        )

    def forward(self, patches: Patches) -> tuple[torch.Tensor, torch.Tensor]:
        B, O, I, E = patches.vectors.shape  # noqa: E741 - the legend's
        if self.grid.steps < O or self.grid.patches != I or self.grid.width != E:
            raise InputError(
                f"patches must be [clips, up to {self.grid.steps} steps, {self.grid.patches}, {self.grid.width}], not "
                f"{list(patches.vectors.shape)}"
            )
        h_BOIW = self.project(patches.vectors) + self.steps[:O, None] + self.patches
        tokens_BNW = torch.cat([self.first.expand(B, 1, -1), h_BOIW.flatten(1, 2)], dim=1)
        mask_BN = F.pad(patches.mask.repeat_interleave(I, dim=1), (1, 0), value=True)
        return tokens_BNW, mask_BN


class BottleneckTransformer(nn.Module):
    """Encode clips of one or both modalities as one vector [B,W] each. The defaults are VideoCC's: ViT-B, 4 bottleneck
    tokens from layer 8 on."""

    def __init__(
        self,
        grids: Mapping[str, PatchGrid],
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        bottlenecks: int = 4,
        fusion_layer: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not grids or set(grids) - set(MODALITIES):
            raise ConfigError(f"a bottleneck fuses {' and '.join(MODALITIES)}, not {', '.join(grids) or 'nothing'}")
        if not 0 <= fusion_layer < depth:
            raise ConfigError(f"fusion_layer must be from 0 to below the {depth} layers, not {fusion_layer}")
        self.depth, self.fusion_layer = depth, fusion_layer
        self.streams = nn.ModuleDict({name: PatchStream(grid, width) for name, grid in grids.items()})
        self.layers = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.TransformerEncoderLayer(
                        width, heads, 4 * width, dropout, "gelu", 1e-6, batch_first=True, norm_first=True
                    )
                    for _ in range(depth)
                )
                for name in grids
            }
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width, eps=1e-6) for name in grids})
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(bottlenecks, width)) if len(grids) > 1 else None

    def forward(self, clips: Mapping[str, Patches]) -> torch.Tensor:
        """Encode clips by those of the modalities that are given. What a clip has not (no sound) takes no part."""
        tokens = {name: self.streams[name](clips[name]) for name in self.streams if name in clips}
        if not tokens:
            raise InputError(f"the clips have none of {', '.join(self.streams)}")
        h = {name: h_BNW for name, (h_BNW, _) in tokens.items()}
        present_MB = torch.stack([clips[name].mask.any(dim=1) for name in h])
        shares_MB = present_MB / present_MB.sum(dim=0).clamp(min=1)
        shared_BGW = None if self.bottlenecks is None else self.bottlenecks.expand(present_MB.shape[1], -1, -1)
        for number in range(self.depth):
            written_BGW = []
            for name, (_, mask_BN) in tokens.items():
                layer = self.layers[name][number]  # type: ignore[index]
                if number < self.fusion_layer or shared_BGW is None:
                    h[name] = layer(h[name], src_key_padding_mask=~mask_BN)
                    continue
                G = shared_BGW.shape[1]
                wide_BN = F.pad(mask_BN, (0, G), value=True)
                both_BNW = layer(torch.cat([h[name], shared_BGW], dim=1), src_key_padding_mask=~wide_BN)
                h[name] = both_BNW[:, :-G]
                written_BGW.append(both_BNW[:, -G:])
            if written_BGW:
                shared_BGW = torch.einsum("mb,mbgw->bgw", shares_MB, torch.stack(written_BGW))
        firsts_MBW = torch.stack([self.norms[name](h[name][:, 0]) for name in h])
        return torch.einsum("mb,mbw->bw", shares_MB, firsts_MBW)

    @torch.no_grad()
    def start_from_vit(self, state: Mapping[str, torch.Tensor]) -> None:
        """Begin with the weights of timm's ViT of these sizes in every modality, as VideoCC does; sound, which has one
        colour, with the sum over colours. Positions in time, and those of sound, stay as they are. ConfigError says
        which weight is missing or of another size."""
        try:
            copied = self._from_vit(state)
        except KeyError as error:
            raise ConfigError(f"a tower starts from a plain ViT of timm, and this network has no {error}") from error
        for name, tensor in copied.items():
            own = self.get_parameter(name)
            if own.shape != tensor.shape:
                raise ConfigError(
                    f"the ViT's weights for {name} are {list(tensor.shape)} and the tower's {list(own.shape)}: width, "
                    "size and patch must be the ViT's"
                )
            own.copy_(tensor)

    def _from_vit(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        copied: dict[str, torch.Tensor] = {}
        for name in self.streams:
            weight = state["patch_embed.proj.weight"]
            weight = weight if name == "video" else weight.sum(dim=1, keepdim=True)
            copied |= {
                f"streams.{name}.project.weight": weight.flatten(1),
                f"streams.{name}.project.bias": state["patch_embed.proj.bias"],
                f"streams.{name}.first": state["cls_token"][0] + state["pos_embed"][0, :1],
                **{f"norms.{name}.{part}": state[f"norm.{part}"] for part in ("weight", "bias")},
            }
            if name == "video":
                copied[f"streams.{name}.patches"] = state["pos_embed"][0, 1:]
            for number in range(self.depth):
                for own, theirs in VIT_NAMES.items():
                    copied[f"layers.{name}.{number}.{own}"] = state[f"blocks.{number}.{theirs}"]
        return copied


VIT_NAMES = {
    "self_attn.in_proj_weight": "attn.qkv.weight",
    "self_attn.in_proj_bias": "attn.qkv.bias",
    **{
        f"{own}.{part}": f"{theirs}.{part}"
        for own, theirs in {
            "self_attn.out_proj": "attn.proj",
            "linear1": "mlp.fc1",
            "linear2": "mlp.fc2",
            "norm1": "norm1",
            "norm2": "norm2",
        }.items()
        for part in ("weight", "bias")
    },
}


def picture_patches(frames_BT3HW: torch.Tensor, side: int, frame_mask_BT: torch.Tensor | None = None) -> Patches:
    """Cut frames into square patches, along the rows: a step of time for each frame."""
    B, T = frames_BT3HW.shape[:2]
    columns = F.unfold(frames_BT3HW.flatten(0, 1), side, stride=side)  # [B*T, E, I]
    vectors_BOIE = columns.transpose(1, 2).unflatten(0, (B, T))
    mask = vectors_BOIE.new_ones(B, T, dtype=torch.bool) if frame_mask_BT is None else frame_mask_BT
    return Patches(vectors_BOIE, mask)


def spectrogram_patches(values_BLF: torch.Tensor, side: int, mask_BL: torch.Tensor | None = None) -> Patches:
    """Cut spectrograms of L moments and F bands into square patches: a step of time for each `side` moments, real where
    its first moment is."""
    vectors_BOIE = values_BLF.unfold(1, side, side).unfold(2, side, side).flatten(3)
    if mask_BL is None:
        return Patches(vectors_BOIE, vectors_BOIE.new_ones(vectors_BOIE.shape[:2], dtype=torch.bool))
    return Patches(vectors_BOIE, mask_BL[:, ::side][:, : vectors_BOIE.shape[1]])
