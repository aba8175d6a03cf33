"""What a run's config names as its captioner: `class_path: pseudocap.regimes.networks.from_backbones`, or another here.

The same as PseudoCap's class methods, as plain functions with every field explained, which is what jsonargparse reads.
"""

from __future__ import annotations

from dataclasses import replace

from pseudocap.captioner import PseudoCap
from pseudocap.model.config import SEPARABLE, GateSchedule


def from_backbones(
    decoder: str,
    encoder: str,
    adapter_layers: list[int] | None = None,
    attention: str = SEPARABLE,
    fusion: str = "residual",
    gate: str = "vector",
    gate_init: float | None = None,
    gate_schedule: GateSchedule | None = None,
    num_frames: int | None = None,
    size: int | None = None,
    decoder_revision: str | None = None,
    encoder_revision: str | None = None,
    seed: int = 0,
) -> PseudoCap:
    """New adapters between two frozen networks.

    Args:
        decoder: an OPT: a directory, a repo of the hub, or one that the package ships (pseudocap://toy-opt)
        encoder: a TimeSformer, likewise
        adapter_layers: the decoder's layers, from 0, that an adapter stands before; null is every second of the upper
            half
        attention: separable (FrozenCaptioner); full, over every patch of every frame; or resampler, over the latents of
            a Perceiver resampler (both need memories of `pseudocap encode --patches`)
        fusion: residual (FrozenCaptioner) or convex (PseudoCap-Vid)
        gate: vector, one gate per dimension, or scalar
        gate_init: the value inside tanh, or the start of theta; null is 1.0 for residual and 0.0 for convex
        gate_schedule: how convex gates are pushed over the steps
        num_frames: of a clip; null is the encoder's own number
        size: pixels; null is the encoder's own
        decoder_revision: a commit or tag of the hub
        encoder_revision: a commit or tag of the hub
        seed: of the adapters' first weights
    """
    return PseudoCap.from_backbones(
        decoder=decoder,
        encoder=encoder,
        adapter_layers=adapter_layers,
        attention=attention,
        fusion=fusion,
        gate=gate,
        gate_init=gate_init,
        gate_schedule=gate_schedule,
        num_frames=num_frames,
        size=size,
        decoder_revision=decoder_revision,
        encoder_revision=encoder_revision,
        seed=seed,
        device="cpu",
    )


def from_pretrained(
    source: str,
    revision: str | None = None,
    decoder: str | None = None,
    encoder: str | None = None,
    checkpoints: str | None = None,
    num_frames: int | None = None,
    size: int | None = None,
) -> PseudoCap:
    """A captioner that has learned before.

    Args:
        source: a row of checkpoints.yaml, a repo of the hub, an address or a directory
        revision: a commit or tag of the repo
        decoder: where the decoder lies now, if it moved
        encoder: where the encoder lies now, if it moved
        checkpoints: a registry of your own, file or address
        num_frames: of a clip; null is what it has learned from
        size: pixels; null is what it has learned from
    """
    model = PseudoCap.from_pretrained(
        source, revision=revision, decoder=decoder, encoder=encoder, checkpoints=checkpoints, device="cpu"
    )
    learned = model.config.preprocess
    frames, size = num_frames or learned.frames, size or learned.size
    model.set_preprocess(replace(learned, frames=frames, size=size))
    return model
