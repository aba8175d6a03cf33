"""Build a run's captioner or retriever from its config: `class_path: pseudocap.regimes.networks.from_backbones`, or of
another here.

Not PseudoCap's class methods themselves: jsonargparse (4.53) takes none that returns `Self`, and a run must not choose
a device or a type, which are the Trainer's to choose. Their fields and descriptions come from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pseudocap.captioner import PseudoCap
from pseudocap.retriever import Retriever
from pseudocap.valor import ValorModel


def from_backbones(**settings: Any) -> PseudoCap:
    """Put new adapters between two frozen networks."""
    return PseudoCap.from_backbones(device="cpu", dtype=torch.float32, **settings)


def from_pretrained(
    source: str,
    revision: str | None = None,
    decoder: str | None = None,
    encoder: str | None = None,
    checkpoints: str | None = None,
    num_frames: int | None = None,
    size: int | None = None,
    audio_encoder: str | None = None,
) -> PseudoCap:
    """Load a captioner that has learned before.

    Args:
        source: a row of checkpoints.yaml, a repo of the hub, an address or a directory
        revision: a commit or tag of the repo
        decoder: where the decoder lies now, if it moved
        encoder: where the encoder lies now, if it moved
        checkpoints: a registry of your own, file or address
        num_frames: of a clip; null is what it has learned from
        size: pixels; null is what it has learned from
        audio_encoder: where the encoder of sound lies now, if it moved; a captioner that has none gains it
    """
    lie: dict[str, Any] = {"decoder": decoder, "encoder": encoder, "audio_encoder": audio_encoder}
    model = PseudoCap.from_pretrained(source, revision=revision, **lie, checkpoints=checkpoints, device="cpu")
    learned = model.config.preprocess
    frames, size = num_frames or learned.frames, size or learned.size
    model.set_preprocess(replace(learned, frames=frames, size=size))
    return model


def retriever_from_backbones(**settings: Any) -> Retriever:
    """Put new towers over a language model and a frozen encoder."""
    return Retriever.from_backbones(device="cpu", **settings)


def valor_from_backbones(**settings: Any) -> ValorModel:
    """Put new heads and cross-attention between a BERT and encoders of sight and sound."""
    return ValorModel.from_backbones(device="cpu", **settings)


def valor_from_pretrained(
    source: str,
    revision: str | None = None,
    text: str | None = None,
    encoder: str | None = None,
    audio_encoder: str | None = None,
    checkpoints: str | None = None,
) -> ValorModel:
    """Load a VALOR that has learned before.

    Args:
        source: a row of checkpoints.yaml, a repo of the hub, an address or a directory
        revision: a commit or tag of the repo
        text: where BERT's tokenizer lies now, if it moved
        encoder: where the encoder lies now, if it moved
        audio_encoder: where the encoder of sound lies now, if it moved
        checkpoints: a registry of your own, file or address
    """
    lie: dict[str, Any] = {"text": text, "encoder": encoder, "audio_encoder": audio_encoder}
    return ValorModel.from_pretrained(source, revision=revision, **lie, checkpoints=checkpoints, device="cpu")


def retriever_from_pretrained(
    source: str,
    revision: str | None = None,
    text: str | None = None,
    encoder: str | None = None,
    audio_encoder: str | None = None,
    checkpoints: str | None = None,
) -> Retriever:
    """Load a retriever that has learned before.

    Args:
        source: a row of checkpoints.yaml, a repo of the hub, an address or a directory
        revision: a commit or tag of the repo
        text: where the language model lies now, if it moved
        encoder: where the encoder lies now, if it moved
        audio_encoder: where the encoder of sound lies now, if it moved
        checkpoints: a registry of your own, file or address
    """
    lie: dict[str, Any] = {"text": text, "encoder": encoder, "audio_encoder": audio_encoder}
    return Retriever.from_pretrained(source, revision=revision, **lie, checkpoints=checkpoints, device="cpu")
