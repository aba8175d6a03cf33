"""Let a decoder's words attend to the memory, by the only weights that learn: an adapter before a decoder layer.

Two fusions, both from the papers, and three attentions (docs/network.md). Each adapter declares its own trainable
parameters; the gate is a value one can read (`gates()`), because how far the adapters opened is a result. Legend: N
captions, L tokens, D decoder width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.errors import ConfigError
from pseudocap.memory import AXES, Memory
from pseudocap.model.attention import START, FullCrossAttention, Projected, SeparableCrossAttention
from pseudocap.model.config import FULL, RESAMPLER, SEPARABLE, GateSchedule, PseudoCapConfig

# Over which vectors, the network decides (a resampler's latents are attended to as patches are).
Attention = SeparableCrossAttention | FullCrossAttention
ATTENTION: dict[str, type[Attention]] = {
    SEPARABLE: SeparableCrossAttention,
    FULL: FullCrossAttention,
    RESAMPLER: FullCrossAttention,
}


class FeedForward(nn.Module):
    """Map D -> 4A -> D. A is the words' own width unless given."""

    def __init__(self, width: int, inner: int | None = None) -> None:
        super().__init__()
        hidden = 4 * (inner or width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(h)))


class Adapter(nn.Module):
    """Hold what both fusions share: an attention to the memory and a feed-forward."""

    def __init__(self, *, width: int, attention: Attention, ffn: FeedForward) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = attention
        self.ffn = ffn

    def reset_parameters(self) -> None:
        """Draw small normal weights and zero biases, as OPT itself starts."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=START)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def project(self, seen: Memory | torch.Tensor, *, padded: Collection[str] = AXES) -> Projected:
        """Project a video's memory or, where a resampler stands before the adapters, its latents."""
        return self.attention.project(seen, padded=padded)  # type: ignore[arg-type]  # latents come to full ones alone

    def grow_axis(self, name: str, *, memory_width: int) -> None:
        """Let the words attend to one more axis of the memory, which changes nothing before the first step."""
        if not isinstance(self.attention, SeparableCrossAttention):
            raise ConfigError(f"only attention='separable' has axes, so this adapter cannot gain {name}")
        self.attention.grow(name, memory_width=memory_width)

    def gates(self) -> dict[str, torch.Tensor]:
        """Return the opened gates by name, as they scale what is added."""
        raise NotImplementedError

    def mixed(self) -> dict[str, float]:
        """Return how much a separable attention takes of each axis: the norm of its block of W_mix, 0 where the axis
        was just gained."""
        return self.attention.mixed() if isinstance(self.attention, SeparableCrossAttention) else {}

    def trainable_names(self) -> set[str]:
        return {name for name, _ in self.named_parameters()}


class ResidualAdapter(Adapter):
    """Add as FrozenCaptioner does: h + tanh(g1) * attention, then h + tanh(g2) * feed-forward, both pre-norm."""

    def __init__(
        self, *, width: int, attention: Attention, ffn: FeedForward, gate_width: int, gate_init: float
    ) -> None:
        super().__init__(width=width, attention=attention, ffn=ffn)
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
        attention: Attention,
        ffn: FeedForward,
        gate_width: int,
        gate_init: float,
        schedule: GateSchedule,
    ) -> None:
        super().__init__(width=width, attention=attention, ffn=ffn)
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
        """Keep eta in float32 in a half-precision captioner: bfloat16 would turn its slow drift into a staircase."""
        eta = self.eta
        super()._apply(fn, recurse)
        if not eta.is_meta:
            self.eta = eta.to(self.theta.device)
        return self

    def gates(self) -> dict[str, torch.Tensor]:
        return {"gate": self.gate()}

    def set_gate_step(self, step: int) -> None:
        self.eta.fill_(self.schedule.eta(step))

    def trainable_names(self) -> set[str]:
        return super().trainable_names() - (set() if self.schedule.learned else {"theta"})


def build_adapter(config: PseudoCapConfig, *, width: int, memory_widths: Mapping[str, int], heads: int) -> Adapter:
    """Build from `memory_widths`, the width of each axis that the config names; heads are as wide as the decoder's."""
    inner, head_width = config.adapter_width or width, width // heads
    if inner % head_width:
        raise ConfigError(f"adapter_width must be a multiple of {head_width}, as wide as a head, not {inner}")
    attention = ATTENTION[config.attention](
        width=width, memory_widths=memory_widths, heads=inner // head_width, inner=inner
    )
    parts: dict[str, Any] = {"width": width, "attention": attention, "ffn": FeedForward(width, inner)}
    parts |= {"gate_width": width if config.gate == "vector" else 1, "gate_init": config.gate_init}
    if config.fusion == "residual":
        return ResidualAdapter(**parts)
    return ConvexAdapter(**parts, schedule=config.gate_schedule)
