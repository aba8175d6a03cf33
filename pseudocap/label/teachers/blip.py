"""Run BLIP faster than transformers does: the vision tower's attention in one kernel; on CPUs, if requested, int8.

transformers' BLIP writes every attention matrix out (`_supports_sdpa` is False), and the tower is most of a label's
cost. Eight bits are an option: they change some captions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BlipForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from pseudocap.model.precision import Int8Linear, pack_linears, try_kernels


class FusedAttention(nn.Module):
    """Compute what BlipAttention does, with its weights."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.heads: int = attention.num_heads
        self.qkv, self.projection = attention.qkv, attention.projection

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        qkv_3BHTD = self.qkv(hidden_states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen_BHTD = F.scaled_dot_product_attention(*qkv_3BHTD.unbind())
        return self.projection(seen_BHTD.transpose(1, 2).flatten(2)), None


class OneByOne(nn.Module):
    """Run BLIP's encoder layers for one image after the other: what lies between two layers stays in the cache."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs_embeds: torch.Tensor, **options: Any) -> BaseModelOutput:
        rows = [self.encoder(row, **options).last_hidden_state for row in inputs_embeds.split(1)]
        return BaseModelOutput(last_hidden_state=torch.cat(rows))


def fuse(model: BlipForConditionalGeneration) -> None:
    """Replace the attention of the vision tower; the captions differ by rounding alone."""
    for layer in model.vision_model.encoder.layers:
        layer.self_attn = FusedAttention(layer.self_attn)


def to_int8(model: BlipForConditionalGeneration) -> None:
    """Replace the linear layers of a fused vision tower and of the decoder. For CPUs."""
    try_kernels(Int8Linear, requested="dtype=int8", instead="leave dtype at auto")
    pack_linears(model.vision_model.encoder, Int8Linear)
    pack_linears(model.text_decoder, Int8Linear)
    model.vision_model.encoder = OneByOne(model.vision_model.encoder)
