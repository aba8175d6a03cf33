"""Read the encoder of a Whisper in CTranslate2's format (faster-whisper's), as transformers names its weights.

The file is a header, then each variable: name, shape, type, bytes. Queries, keys and values are one matrix there.
Weights in 8 bits are refused: what was rounded once should not be the reference of anything.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from pseudocap.errors import CheckpointError, first_line
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.audio_models import AudioModel, whisper_grid
from pseudocap.model.weights import load_exactly, renamed
from pseudocap.types import SoundPreprocess

State = dict[str, torch.Tensor]
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # by CTranslate2's numbers
NAMES = (
    (r"conv(\d)/(weight|bias)", r"conv\1.\2"),
    (r"position_encodings/encodings", "embed_positions.weight"),
    (r"layer_norm/gamma", "layer_norm.weight"),
    (r"layer_norm/beta", "layer_norm.bias"),
    (r"layer_(\d+)/self_attention/layer_norm/gamma", r"layers.\1.self_attn_layer_norm.weight"),
    (r"layer_(\d+)/self_attention/layer_norm/beta", r"layers.\1.self_attn_layer_norm.bias"),
    (r"layer_(\d+)/self_attention/linear_0/(weight|bias)", r"layers.\1.self_attn.qkv.\2"),
    (r"layer_(\d+)/self_attention/linear_1/(weight|bias)", r"layers.\1.self_attn.out_proj.\2"),
    (r"layer_(\d+)/ffn/layer_norm/gamma", r"layers.\1.final_layer_norm.weight"),
    (r"layer_(\d+)/ffn/layer_norm/beta", r"layers.\1.final_layer_norm.bias"),
    (r"layer_(\d+)/ffn/linear_0/(weight|bias)", r"layers.\1.fc1.\2"),
    (r"layer_(\d+)/ffn/linear_1/(weight|bias)", r"layers.\1.fc2.\2"),
)


def read_ctranslate2(content: bytes, *, source: str) -> tuple[dict[str, Any], State]:
    """Return the fields of a WhisperConfig that the encoder needs, and its weights in float32."""
    try:
        variables = _variables(content)
        heads = int(variables.pop("encoder/num_heads"))
        state: State = {}
        for name, values in variables.items():
            if values.ndim:
                _add(state, name.removeprefix("encoder/"), torch.from_numpy(values.astype(np.float32)))
    except (struct.error, KeyError, ValueError, UnicodeDecodeError) as error:
        problem = first_line(error)
        raise CheckpointError(f"{source} is no Whisper of CTranslate2 in 16 or 32 bits: {problem}") from error
    width, bins, _ = state["conv1.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    fields = {"d_model": width, "num_mel_bins": bins, "encoder_layers": layers, "encoder_attention_heads": heads}
    fields |= {"encoder_ffn_dim": len(state["layers.0.fc1.bias"])}
    return fields | {"max_source_positions": len(state["embed_positions.weight"])}, state


def _variables(content: bytes) -> dict[str, np.ndarray]:
    """Read the variables of the encoder; what equals another is stored once, and its name at the end."""
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", content, at)
        at += struct.calcsize(kind)
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("H")
        at += length
        return content[at - length : at - 1].decode()

    found: dict[str, np.ndarray] = {}
    number("I")
    if (kind := text()) != "WhisperSpec":
        raise ValueError(f"it is a {kind!r}")
    number("I")
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = TYPES[number("B")], number("I")
        found[name] = np.frombuffer(content, dtype, size // np.dtype(dtype).itemsize, at).reshape(shape)
        at += size
    for _ in range(number("I")):
        alias, name = text(), text()
        found[alias] = found[name]
    return {name: values for name, values in found.items() if name.startswith("encoder/")}


def _add(state: State, name: str, values: torch.Tensor) -> None:
    key = renamed(name, NAMES)
    if key is None:
        raise ValueError(f"{name} is not expected in 16 or 32 bits")
    if ".qkv." not in key:
        state[key] = values
        return
    for part, rows in zip("qkv", values.chunk(3), strict=True):
        if not (part == "k" and key.endswith("bias")):  # which is zero, and Whisper has none
            state[key.replace("qkv", f"{part}_proj")] = rows.contiguous()


def whisper_encoder(fields: dict[str, Any], state: State, *, source: str) -> AudioEncoder:
    """Build the encoder of these weights."""
    network = WhisperEncoder(WhisperConfig(**fields, decoder_layers=0))
    load_exactly(network, state, source=source)
    frames = 2 * fields["max_source_positions"]
    preprocess = SoundPreprocess(features="whisper", bins=fields["num_mel_bins"], frames=frames)
    return AudioEncoder(
        AudioModel(network=network, preprocess=preprocess, grid=whisper_grid, stride=2, stored=None)
    ).eval()
