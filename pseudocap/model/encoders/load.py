"""Load any encoder: from a directory, a repo of the hub, timm/NAME, or pseudocap://NAME; its config.json names the
family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pseudocap.errors import CheckpointError, ConfigError, nearest
from pseudocap.files.sources import find_file, is_directory, read_json
from pseudocap.model.encoders.audio import AudioEncoder, axes_of
from pseudocap.model.encoders.audio_models import AST, WHISPER
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.frames import FramesEncoder
from pseudocap.model.encoders.pixels import MODEL_TYPE as PIXELS
from pseudocap.model.encoders.pixels import SPECTROGRAM, PixelsEncoder, SpectrogramEncoder
from pseudocap.model.encoders.timesformer import MODEL_TYPE, TimeSformer
from pseudocap.types import AUDIO_MODELS

FAMILIES: dict[str, type[TimeSformer | FramesEncoder | PixelsEncoder]] = {
    each.kind: each for each in (TimeSformer, FramesEncoder, PixelsEncoder)
}
AUDIO_FAMILIES: dict[str, type[AudioEncoder]] = {each.kind: each for each in (AudioEncoder, SpectrogramEncoder)}
TIMESFORMERS = (MODEL_TYPE, "timesformer")


def load_encoder(
    source: str | Path,
    *,
    kind: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Load a frozen encoder: a TimeSformer, any image model of timm or transformers applied to every frame, or pixels.

    `kind` ("timesformer", "frames" or "pixels") is for a checkpoint whose config.json leaves it open, and is recorded
    with it.
    """
    if kind is not None and kind not in FAMILIES:
        raise ConfigError(f"kind must be one of {', '.join(FAMILIES)}, not {kind!r}{nearest(str(kind), FAMILIES)}")
    access: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only, "token": token}
    family = FAMILIES[kind or _family_of(source, access)]
    encoder = family.from_pretrained(source, **access, dtype=dtype)
    if kind is not None and encoder.origin is not None:
        encoder.origin = replace(encoder.origin, kind=kind)
    return encoder


def load_audio_encoder(
    source: str | Path,
    *,
    kind: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    dtype: torch.dtype = torch.float32,
    moments: float | None = None,
    pitch: bool | None = None,
) -> AudioEncoder:
    """Load a frozen encoder of sound: an AST, Whisper's encoder or a model of the waveform, in transformers' format; or
    the patches of a spectrogram as they are.

    `moments` is how many vectors a second the axis `sound` has, `pitch` adds the axis `pitch`; both default to what the
    checkpoint's config.json says under "pseudocap", or to 4 and no pitch.
    """
    if kind is not None and kind not in AUDIO_FAMILIES:
        raise ConfigError(f"kind of an encoder of sound must be one of {', '.join(AUDIO_FAMILIES)}, not {kind!r}")
    access: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only, "token": token}
    try:
        document = read_json(find_file(source, "config.json", **access))
    except CheckpointError as error:
        raise CheckpointError(f"audio encoder {source}: {error}; name {AUDIO_MODELS}") from error
    refuse_captioner(source, document)
    own = SpectrogramEncoder.kind if document.get("model_type") == SPECTROGRAM else AudioEncoder.kind
    encoder = AUDIO_FAMILIES[kind or own].from_pretrained(source, **access, dtype=dtype)
    if moments is not None:
        encoder.set_preprocess(replace(encoder.preprocess, moments=moments))
    if pitch is not None:
        encoder.axes = axes_of(pitch=pitch)
    return encoder


def _family_of(source: str | Path, access: Mapping[str, Any]) -> str:
    try:
        path = find_file(source, "config.json", **access)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_offer(str(source))}") from error
    document = read_json(path)
    refuse_captioner(source, document)
    model_type = document.get("model_type")
    if model_type in (AST, WHISPER):
        raise CheckpointError(f"{source} is a {model_type!r}, which hears and does not see: it is an audio encoder")
    if model_type == PIXELS:
        return PixelsEncoder.kind
    return TimeSformer.kind if model_type in TIMESFORMERS else FramesEncoder.kind


def refuse_captioner(source: str | Path, document: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a captioner is named instead of its encoder."""
    if document.get("model_type") == "pseudocap":
        raise CheckpointError(f"{source} is a captioner, not an encoder: name the encoder that its config.json names")


def _offer(source: str) -> str:
    """Suggest what the name may have meant, where it looks like one of timm's."""
    name = source.removeprefix("hf://").removeprefix("timm/")
    if "/" in name or "\\" in name or is_directory(source):
        return ""
    import timm  # takes seconds, and it is an error already

    architecture = name.partition(".")[0]
    if not source.removeprefix("hf://").startswith("timm/"):
        return f"; for timm's model write timm/{name}" if timm.is_model(architecture) else ""
    if not timm.is_model(architecture):
        return f"; timm has no model {architecture!r}{nearest(architecture, timm.list_models())}"
    known = timm.list_pretrained(f"{architecture}.*")
    return "" if name in known else f"; timm's weights of {architecture} are {', '.join(known[:4]) or 'none'}"
