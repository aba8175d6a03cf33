"""Find and load the encoders that options name: an encoder itself, or that of a captioner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.types import AUDIO_MODELS

if TYPE_CHECKING:
    from pseudocap.model.config import PseudoCapConfig
    from pseudocap.model.encoders.audio import AudioEncoder
    from pseudocap.model.encoders.base import Encoder
    from pseudocap.types import Preprocess


NONE = "none"  # for an encoder: that there is none


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


def heard_by(name: str | None, captioner: PseudoCapConfig | None, *, moments: float | None) -> str | None:
    """Return the address of what encodes sound: what is named, or a captioner's own; None where nothing does."""
    from pseudocap.files.sources import find_file
    from pseudocap.hub.fetch import CONFIG_FILE
    from pseudocap.model.config import AUDIO

    if name == NONE:
        return None
    if name is not None:
        try:
            find_file(_expanded(name), CONFIG_FILE)
        except CheckpointError as error:
            raise CheckpointError(f"--audio-encoder {name}: {error}; name {AUDIO_MODELS}") from error
        return _expanded(name)
    own = None if captioner is None else captioner.encoders.get(AUDIO)
    if own is None and moments is not None:
        raise ConfigError("--moments is of sound: name what encodes it with --audio-encoder")
    return None if own is None else own.source


def audio_encoder_of(
    address: str, name: str | None, captioner: PseudoCapConfig | None, *, moments: float | None
) -> AudioEncoder:
    """Load an encoder of sound by itself, or that of a captioner with the preprocessing that it was trained with."""
    from pseudocap.model.config import AUDIO
    from pseudocap.model.encoders.load import load_audio_encoder

    if name is not None or captioner is None:
        try:
            return load_audio_encoder(address, moments=moments)
        except CheckpointError as error:
            raise CheckpointError(f"--audio-encoder {error}") from error
    own = captioner.encoders[AUDIO]
    encoder = load_audio_encoder(address, kind=own.kind, revision=own.revision, moments=moments)
    if encoder.fingerprint != own.fingerprint:
        raise CheckpointError(
            f"--encoder: {address} no longer holds the weights of sound that this captioner was trained with, and "
            "would not take memories of others; restore them"
        )
    if captioner.sound_preprocess is not None and moments is None:
        encoder.set_preprocess(captioner.sound_preprocess)
    return encoder
