"""BLIP's vision tower, faster than transformers runs it: attention in one kernel, and linear layers in int8 on CPUs.

transformers' BLIP writes every attention matrix out (`_supports_sdpa` is False), and the tower is most of a label's
cost. Eight bits are an option: they change some captions. An image is then encoded by itself, since the scale of its
activations would otherwise depend on its neighbours in the batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BlipForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from pseudocap.errors import ConfigError


class FusedAttention(nn.Module):
    """What BlipAttention computes, with its weights."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.heads: int = attention.num_heads
        self.qkv, self.projection = attention.qkv, attention.projection

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        qkv_3BHTD = self.qkv(hidden_states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen_BHTD = F.scaled_dot_product_attention(*qkv_3BHTD.unbind())
        return self.projection(seen_BHTD.transpose(1, 2).flatten(2)), None


class Int8Linear(nn.Module):
    """A linear layer with a scale for each of its outputs, and one for its whole input, found as it comes."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = weight.abs().amax(dim=1).clamp(min=1e-8).double() / 127
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        eight = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(eight, linear.bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        # Without VNNI the products of two full bytes overflow 16 bits, so the input keeps seven.
        outputs: torch.Tensor = torch.ops.quantized.linear_dynamic(inputs, self._packed, reduce_range=True)
        return outputs


class OneByOne(nn.Module):
    """The layers of BLIP's encoder, for one image after the other."""

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
    """Replace the linear layers of a fused vision tower. For CPUs; the rest of the model stays as it is."""
    if not set(torch.backends.quantized.supported_engines) & {"x86", "fbgemm", "onednn", "qnnpack"}:
        raise ConfigError("dtype is int8, and this build of torch has no kernels for it; leave dtype at auto")
    for layer in model.vision_model.encoder.layers:
        for owner, names in ((layer.self_attn, ("qkv", "projection")), (layer.mlp, ("fc1", "fc2"))):
            for name in names:
                setattr(owner, name, Int8Linear(getattr(owner, name)))
    model.vision_model.encoder = OneByOne(model.vision_model.encoder)
