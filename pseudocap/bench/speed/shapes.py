"""Build captioners of published shapes, with random weights: what benchmarks measure where no weights can be had."""

from __future__ import annotations

from typing import Any

import torch

from pseudocap.memory import Memory
from pseudocap.model.config import Backbone, PseudoCapConfig, default_adapter_layers
from pseudocap.model.decoders.opt import full_size, untrained
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
from pseudocap.model.network import CaptionNetwork

PATCHES = 196  # of a frame of 224 pixels


def published(decoder: str, **settings: Any) -> PseudoCapConfig:
    """Return the config of a published OPT between TimeSformer-B and its default adapters."""
    return PseudoCapConfig(
        decoder=Backbone(source=decoder),
        encoders={"video": Backbone(source="TimeSformer-B")},
        adapter_layers=default_adapter_layers(full_size(decoder).num_hidden_layers),
        **settings,
    )


def network(frames: int, decoder: str = "opt-350m") -> CaptionNetwork:
    encoder = TimeSformer(TimeSformerConfig(num_frames=frames))
    return CaptionNetwork(encoder, untrained(full_size(decoder), published(decoder), memory_width=encoder.config.width))


def build_on_meta(decoder: str, encoder: TimeSformerConfig, config: PseudoCapConfig) -> CaptionNetwork:
    """Build a published size without a byte of weights: to count its parameters, or to check that a recipe builds."""
    with torch.device("meta"):
        return CaptionNetwork(TimeSformer(encoder), untrained(full_size(decoder), config, memory_width=encoder.width))


def made_up_memory(batch: int, frames: int, *, width: int = 768) -> Memory:
    generator = torch.Generator().manual_seed(1)
    return Memory.of_sight(
        time=torch.randn(batch, frames, width, generator=generator),
        space=torch.randn(batch, PATCHES, width, generator=generator),
    )


def so_many_tokens(tokens: int, beams: int = 1) -> dict[str, Any]:
    """Return generation options under which every caption is as long: random weights end none."""
    return {"num_beams": beams, "max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
