"""Find and load the encoder that an option names: an encoder itself, or that of a captioner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.errors import CheckpointError

if TYPE_CHECKING:
    from pseudocap.model.config import PseudoCapConfig
    from pseudocap.model.encoders.base import Encoder
    from pseudocap.types import Preprocess


def captioner_of(name: str, checkpoints: str | None) -> PseudoCapConfig | None:
    """Return the config of the captioner whose encoder is meant; None where an encoder itself is named."""
    from pseudocap.files.sources import HUB_SCHEME, find_file
    from pseudocap.hub.checkpoint import read_config
    from pseudocap.hub.fetch import CONFIG_FILE, fetch, is_captioner

    if name.removeprefix(HUB_SCHEME).startswith("timm/") and not Path(name).exists():
        return None  # a mistyped name of timm's gets an answer from load_encoder, which has the list
    if is_captioner(name, checkpoints=checkpoints):
        return read_config(fetch(name, checkpoints=checkpoints).folder)
    find_file(_expanded(name), CONFIG_FILE)
    return None


def _expanded(name: str) -> str:
    folder = Path(name).expanduser()
    return str(folder) if folder.exists() else name


def encoder_of(name: str, captioner: PseudoCapConfig | None) -> tuple[Encoder, Preprocess]:
    """Load an encoder by itself, or that of a captioner with the preprocessing that it was trained with."""
    from pseudocap.model.encoders.load import load_encoder

    if captioner is not None:
        own = captioner.encoder
        encoder = load_encoder(own.source, kind=own.kind, revision=own.revision)
        if encoder.fingerprint != own.fingerprint:
            raise CheckpointError(
                f"--encoder {name}: {captioner.encoder.source} no longer holds the weights that this captioner was "
                "trained with, and would not take memories of others; restore them"
            )
        return encoder, captioner.preprocess
    encoder = load_encoder(_expanded(name))
    return encoder, encoder.preprocess
