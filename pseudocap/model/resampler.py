"""Resample as a Perceiver: a few latents look at all vectors of a video, and stand for it from then on.

As in Flamingo and OpenFlamingo, one for all adapters, run once per video. Each word then looks at R latents, however
long the video. It learns, so what it makes of a video cannot be stored as the pooled memory can: every training step
goes through all T * S vectors.

Ours differs from OpenFlamingo's in three ways. The encoder's features know their frame already, so there are no
embeddings of frames; the feed-forward has biases, as those of the adapters have; there is no LayerNorm at the end,
because each adapter has its own for what it looks at.

Legend: B videos, M vectors of a video, R latents, E width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.model.adapter import FeedForward

LATENTS = 64
DEPTH = 6


class ResamplerLayer(nn.Module):
    """Attend from latents to the features and to themselves; heads of 64, as in OpenFlamingo."""

    def __init__(self, *, width: int, feed_forward: bool = True, heads: int = 8, head_width: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.norm_features, self.norm_latents = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key_value = nn.Linear(width, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width, bias=False)
        self.ffn = nn.Sequential(nn.LayerNorm(width), FeedForward(width)) if feed_forward else None

    def forward(
        self, latents_BRE: torch.Tensor, features_BME: torch.Tensor, mask_B11M: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Update the latents. The mask is of the features and of the latents behind them."""
        normed_BRE = self.norm_latents(latents_BRE)
        both_BME = torch.cat((self.norm_features(features_BME), normed_BRE), dim=1)
        q, k, v = (
            x.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(normed_BRE), *self.key_value(both_BME).chunk(2, dim=-1))
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B11M)
        latents_BRE = latents_BRE + self.out(seen.transpose(1, 2).flatten(2))
        return latents_BRE if self.ffn is None else latents_BRE + self.ffn(latents_BRE)


class Resampler(nn.Module):
    """Run `depth` layers over learned latents. It starts as OpenFlamingo's: PyTorch's start, latents of deviation 1."""

    def __init__(self, *, width: int, latents: int = LATENTS, depth: int = DEPTH, feed_forward: bool = True) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.layers = nn.ModuleList(ResamplerLayer(width=width, feed_forward=feed_forward) for _ in range(depth))

    def forward(self, features_BME: torch.Tensor, mask_BM: torch.Tensor | None = None) -> torch.Tensor:
        """Return the latents [B,R,E] of each video; what the mask hides adds nothing to them."""
        latents_BRE = self.latents.expand(len(features_BME), -1, -1)
        mask_B11M = None
        if mask_BM is not None:
            own_BR = mask_BM.new_ones(latents_BRE.shape[:2])
            mask_B11M = torch.cat((mask_BM, own_BR), dim=1)[:, None, None]
        for layer in self.layers:
            latents_BRE = layer(latents_BRE, features_BME, mask_B11M)
        return latents_BRE
