"""The only weights that learn: one adapter sits before a decoder layer and lets its words look at the video.

Two fusions, both from the papers, and three ways to look (docs/network.md). Each adapter declares its own trainable
parameters; the gate is a value one can read (`gates()`), because how far the adapters opened is a result. Legend: N
captions, L tokens, D decoder width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.memory import Memory
from pseudocap.model.attention import FullCrossAttention, Projected, SeparableCrossAttention
from pseudocap.model.config import FULL, RESAMPLER, SEPARABLE, GateSchedule, PseudoCapConfig

# What words look with; over which vectors, the network decides (a resampler's latents are looked at as patches are).
ATTENTION: dict[str, type[SeparableCrossAttention | FullCrossAttention]] = {
    SEPARABLE: SeparableCrossAttention,
    FULL: FullCrossAttention,
    RESAMPLER: FullCrossAttention,
}


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(h)))


class Adapter(nn.Module):
    """What both fusions share: an attention to look with and a feed-forward to think with."""

    def __init__(self, *, width: int, memory_width: int, heads: int, attention: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = ATTENTION[attention](width=width, memory_width=memory_width, heads=heads)
        self.ffn = FeedForward(width)

    def reset_parameters(self) -> None:
        """Small normal weights and zero biases, as OPT itself starts."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def project(self, seen: Memory | torch.Tensor, *, padded: bool = True) -> Projected:
        """A video's memory or, where a resampler stands before the adapters, its latents."""
        return self.attention.project(seen, padded=padded)  # type: ignore[arg-type]  # latents come to full ones alone

    def gates(self) -> dict[str, torch.Tensor]:
        """The opened gates by name, as the words feel them."""
        raise NotImplementedError

    def trainable_names(self) -> set[str]:
        return {name for name, _ in self.named_parameters()}


class ResidualAdapter(Adapter):
    """FrozenCaptioner: h + tanh(g1) * attention, then h + tanh(g2) * feed-forward, both pre-norm."""

    def __init__(
        self, *, width: int, memory_width: int, heads: int, attention: str, gate_width: int, gate_init: float
    ) -> None:
        super().__init__(width=width, memory_width=memory_width, heads=heads, attention=attention)
        self.ffn_norm = nn.LayerNorm(width)
        self.attention_gate = nn.Parameter(torch.full((gate_width,), gate_init))
        self.ffn_gate = nn.Parameter(torch.full((gate_width,), gate_init))
        self.reset_parameters()

    def forward(self, h_NLD: torch.Tensor, axes: Projected) -> torch.Tensor:
        h_NLD = h_NLD + self.attention_gate.tanh() * self.attention(self.norm(h_NLD), axes)
        return h_NLD + self.ffn_gate.tanh() * self.ffn(self.ffn_norm(h_NLD))

    def gates(self) -> dict[str, torch.Tensor]:
        return {"attention": self.attention_gate.tanh(), "ffn": self.ffn_gate.tanh()}


class ConvexAdapter(Adapter):
    """PseudoCap-Vid, equations 2 to 4 and 12: g * FFN(LN(h) + attention) + (1 - g) * h, g = sigmoid(theta + eta)."""

    eta: torch.Tensor

    def __init__(
        self,
        *,
        width: int,
        memory_width: int,
        heads: int,
        attention: str,
        gate_width: int,
        gate_init: float,
        schedule: GateSchedule,
    ) -> None:
        super().__init__(width=width, memory_width=memory_width, heads=heads, attention=attention)
        self.schedule = schedule
        self.theta = nn.Parameter(torch.full((gate_width,), gate_init))
        # Saved with the weights, so that inference and fine-tuning see the gate where pre-training left it.
        self.register_buffer("eta", torch.tensor(schedule.eta(0)))
        self.reset_parameters()

    def forward(self, h_NLD: torch.Tensor, axes: Projected) -> torch.Tensor:
        a_NLD = self.norm(h_NLD)
        g = self.gate()
        return g * self.ffn(a_NLD + self.attention(a_NLD, axes)) + (1 - g) * h_NLD

    def gate(self) -> torch.Tensor:
        return torch.sigmoid(self.theta.float() + self.eta).to(self.theta.dtype)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """eta stays float32 in a half-precision captioner: bfloat16 would turn its slow drift into a staircase."""
        eta = self.eta
        super()._apply(fn, recurse)
        if not eta.is_meta:
            self.eta = eta.to(self.theta.device)
        return self

    def gates(self) -> dict[str, torch.Tensor]:
        return {"gate": self.gate()}

    def set_gate_step(self, step: int) -> None:
        """Move the schedule to an optimiser step."""
        self.eta.fill_(self.schedule.eta(step))

    def trainable_names(self) -> set[str]:
        return super().trainable_names() - (set() if self.schedule.learned else {"theta"})


def build_adapter(config: PseudoCapConfig, *, width: int, memory_width: int, heads: int) -> Adapter:
    assert config.gate_init is not None  # PseudoCapConfig fills it at birth
    gate_width = width if config.gate == "vector" else 1
    if config.fusion == "residual":
        return ResidualAdapter(
            width=width,
            memory_width=memory_width,
            heads=heads,
            attention=config.attention,
            gate_width=gate_width,
            gate_init=config.gate_init,
        )
    return ConvexAdapter(
        width=width,
        memory_width=memory_width,
        heads=heads,
        attention=config.attention,
        gate_width=gate_width,
        gate_init=config.gate_init,
        schedule=config.gate_schedule,
    )
