"""Load audio models of transformers, and read them as grids of features over pitch and time.

A grid is [N, pitch, time, E], low to high and early to late: an AST's patches; Whisper's encoder and models of the
waveform (wav2vec 2.0, HuBERT, WavLM) have one row. No code of a checkpoint runs.

Legend of the shape suffixes: N windows, F frames of a window, M values of a frame, P pitch, T time, E width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import find_file, read_json, resolve_source
from pseudocap.model.weights import read_tensors, transformers_access, transformers_reason
from pseudocap.types import AUDIO_MODELS, SoundPreprocess

State = dict[str, torch.Tensor]
GridOf = Callable[[nn.Module, torch.Tensor], torch.Tensor]
AST, WHISPER = "audio-spectrogram-transformer", "whisper"
WHISPER_PREFIX = "encoder."  # of the encoder's keys, behind the prefix "model." of a model with a head
WAVEFORM_SECONDS = 10  # of a window of a model that takes any length


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioModel:
    """Hold a loaded network, the sound that it takes, and how it gives a grid.

    `stride` is how many frames lie between the beginnings of two steps of time. `stored` are the weights as the file
    has them, None where they are in no single safetensors file.
    """

    network: nn.Module
    preprocess: SoundPreprocess
    grid: GridOf
    stride: int
    stored: State | None


def read_audio_model(source: str | Path, access: Mapping[str, Any]) -> AudioModel:
    """Load an audio model in float32, without its classifier or decoder."""
    from transformers import MODEL_MAPPING, AutoConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    address, offline = resolve_source(source), transformers_access(source, access)
    try:
        config = AutoConfig.from_pretrained(address, **offline, trust_remote_code=False)
    except Exception as error:  # damaged and foreign configs fail in ways of every kind
        raise CheckpointError(f"{source} is no audio model that transformers knows: {first_line(error)}") from error
    kind: Any = MODEL_MAPPING.get(type(config), None)
    waves = getattr(kind, "main_input_name", "") == "input_values" and hasattr(config, "conv_stride")
    if config.model_type not in (AST, WHISPER) and not waves:
        raise CheckpointError(f"{source} is a {config.model_type!r}, which is no audio model; name {AUDIO_MODELS}")
    try:
        weights: Path | None = find_file(source, "model.safetensors", **access)
    except CheckpointError:  # in several files or pickled, transformers finds them too; where there are none it says so
        weights = None
    stored: State | None = None if weights is None else read_tensors(weights)
    if config.model_type == WHISPER and stored is not None:  # without reading a decoder that is not used
        kind = WhisperEncoder
        found = {name.removeprefix("model."): tensor for name, tensor in stored.items()}
        found = {name: tensor for name, tensor in found.items() if name.startswith(WHISPER_PREFIX)}
        state: State | None = {name.removeprefix(WHISPER_PREFIX): tensor for name, tensor in found.items()}
    else:
        state = stored
    network: Any = _load(source, kind, address, config, state, offline)
    if config.model_type == WHISPER and stored is None:
        network = network.get_encoder()
    document: Any = read_json(_processor(source, access))
    try:
        grid, stride, preprocess = _reading(config, document)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        reason = first_line(error)
        raise CheckpointError(f"{source}: its preprocessor_config.json is no such model's: {reason}") from error
    return AudioModel(network=network, preprocess=preprocess, grid=grid, stride=stride, stored=stored)


def _reading(config: Any, document: Mapping[str, Any]) -> tuple[GridOf, int, SoundPreprocess]:
    if config.model_type == AST:
        return ast_grid, config.time_stride, _ast_preprocess(config, document)
    if config.model_type == WHISPER:
        return whisper_grid, 2, _whisper_preprocess(config, document)
    return waveform_grid, math.prod(config.conv_stride), _waveform_preprocess(document)


def _load(
    source: str | Path, kind: Any, address: str, config: Any, stored: State | None, offline: Mapping[str, Any]
) -> nn.Module:
    from transformers.utils import logging

    loud = logging.get_verbosity()
    logging.set_verbosity_error()  # the classifier that stays behind is no news
    try:
        with without_loading_bars():
            network, info = kind.from_pretrained(
                address if stored is None else None,
                config=config,
                **(offline if stored is None else {"state_dict": stored}),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # and so do damaged weights
        reason = transformers_reason(error)
        raise CheckpointError(f"the audio model in {source} could not be loaded: {reason}") from error
    finally:
        logging.set_verbosity(loud)
    for what in ("missing", "mismatched"):
        if keys := info[f"{what}_keys"]:
            some = ", ".join(str(key) for key in sorted(keys, key=str)[:4])
            raise CheckpointError(f"the weights in {source} have {len(keys)} {what} keys: {some}")
    return network


def _processor(source: str | Path, access: Mapping[str, Any]) -> Path:
    try:
        return find_file(source, "preprocessor_config.json", **access)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; how its sound is prepared is in that file") from error


def _ast_preprocess(config: Any, document: Mapping[str, Any]) -> SoundPreprocess:
    if document["num_mel_bins"] != config.num_mel_bins or document["max_length"] != config.max_length:
        raise ConfigError("num_mel_bins and max_length are not those of config.json")
    plain = not document.get("do_normalize", True)
    own = {name: document[name] for name in ("window", "hop", "window_function") if name in document}  # of VALOR's kind
    return SoundPreprocess(
        rate=document["sampling_rate"],
        bins=config.num_mel_bins,
        frames=config.max_length,
        mean=0.0 if plain else document["mean"],
        std=0.5 if plain else document["std"],
        **own,
    )


def _whisper_preprocess(config: Any, document: Mapping[str, Any]) -> SoundPreprocess:
    return SoundPreprocess(
        features="whisper",
        rate=document["sampling_rate"],
        bins=config.num_mel_bins,
        frames=config.max_source_positions * 2,
        window=document["n_fft"],
        hop=document["hop_length"],
    )


def _waveform_preprocess(document: Mapping[str, Any]) -> SoundPreprocess:
    rate, own = document["sampling_rate"], document.get("do_normalize", True)
    sizes = {"bins": 1, "frames": document.get("frames", WAVEFORM_SECONDS * rate), "window": 1, "hop": 1}
    return SoundPreprocess(features="waveform", rate=rate, mean=None if own else 0.0, std=0.5, **sizes)


def processor_document(preprocess: SoundPreprocess) -> dict[str, Any]:
    """Return a preprocessor_config.json from which the same preprocessing is read."""
    rate = {"sampling_rate": preprocess.rate}
    if preprocess.features == "whisper":
        return {**rate, "feature_size": preprocess.bins, "n_fft": preprocess.window, "hop_length": preprocess.hop}
    if preprocess.features == "waveform":
        return {**rate, "do_normalize": preprocess.mean is None, "frames": preprocess.frames}
    return {
        **rate,
        "num_mel_bins": preprocess.bins,
        "max_length": preprocess.frames,
        "mean": preprocess.mean,
        "std": preprocess.std,
        **{name: getattr(preprocess, name) for name in ("window", "hop", "window_function")},
    }


def ast_grid(network: Any, windows_NFM: torch.Tensor) -> torch.Tensor:
    """Return an AST's patches; the class and distillation tokens before them are left out."""
    pitch, _ = network.embeddings.get_shape(network.config)
    patches_NLE = network(input_values=windows_NFM).last_hidden_state[:, 2:]
    grid_NPTE: torch.Tensor = patches_NLE.unflatten(1, (pitch, -1))
    return grid_NPTE


def whisper_grid(network: Any, windows_NFM: torch.Tensor) -> torch.Tensor:
    """Return the states of Whisper's encoder."""
    grid_NPTE: torch.Tensor = network(input_features=windows_NFM.mT).last_hidden_state[:, None]
    return grid_NPTE


def waveform_grid(network: Any, windows_NFM: torch.Tensor) -> torch.Tensor:
    """Return the states of a model of the waveform."""
    grid_NPTE: torch.Tensor = network(input_values=windows_NFM[..., 0]).last_hidden_state[:, None]
    return grid_NPTE
