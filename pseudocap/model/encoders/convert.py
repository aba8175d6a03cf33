"""Convert other people's encoder weights to our keys, which are the original TimeSformer repository's.

Each reader returns the fields of a TimeSformerConfig and a state dict. Loading then demands the exact key set, so a
checkpoint of another architecture is refused with the keys that differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TimesformerConfig, TimesformerModel

from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import resolve_source
from pseudocap.model.weights import read_torch, renamed, transformers_access, transformers_reason

StateDict = dict[str, torch.Tensor]

# Hugging Face's names, most specific first: `attention.attention.qkv` must not match inside `temporal_attention...`.
HUGGINGFACE_KEYS = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.time_embeddings", "time_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.temporal_layernorm\.(\w+)", r"blocks.\1.temporal_norm1.\2"),
    (r"encoder\.layer\.(\d+)\.temporal_attention\.attention\.qkv\.(\w+)", r"blocks.\1.temporal_attn.qkv.\2"),
    (r"encoder\.layer\.(\d+)\.temporal_attention\.output\.dense\.(\w+)", r"blocks.\1.temporal_attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.temporal_dense\.(\w+)", r"blocks.\1.temporal_fc.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.qkv\.(\w+)", r"blocks.\1.attn.qkv.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(\w+)", r"norm.\1"),
)


def from_huggingface_key(key: str) -> str:
    return renamed(key, HUGGINGFACE_KEYS) or key


def read_huggingface(source: str | Path, access: Mapping[str, Any]) -> tuple[dict[str, Any], StateDict]:
    """Read a TimesformerModel or TimesformerForVideoClassification; the classifier is left behind."""
    try:
        with without_loading_bars():
            model, info = TimesformerModel.from_pretrained(
                resolve_source(source),
                **transformers_access(source, access),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # transformers meets damaged configs and weights with errors of every kind
        raise CheckpointError(
            f"the TimeSformer in {source} could not be loaded: {transformers_reason(error)}"
        ) from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:4])
        raise CheckpointError(f"{source} lacks {len(info['missing_keys'])} of a TimeSformer's weights: {missing} ...")
    config: TimesformerConfig = model.config
    if config.attention_type != "divided_space_time":
        raise CheckpointError(f"{source} attends {config.attention_type}; only divided_space_time is supported")
    if config.hidden_act != "gelu" or config.num_channels != 3:
        raise CheckpointError(f"{source} must use GELU on 3 channels, not {config.hidden_act} on {config.num_channels}")
    values = {
        "image_size": _one_side(config.image_size, source),
        "patch_size": _one_side(config.patch_size, source),
        "num_frames": config.num_frames,
        "width": config.hidden_size,
        "depth": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "mlp_width": config.intermediate_size,
        "eps": config.layer_norm_eps,
        "qkv_bias": config.qkv_bias,
    }
    return values, {from_huggingface_key(key): value for key, value in model.state_dict().items()}


def _one_side(size: int | list[int] | tuple[int, int], source: str | Path) -> int:
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise CheckpointError(f"{source} has sides of {size} pixels; only squares are supported")
    return sides.pop()


def read_timm(name: str, *, num_frames: int, pretrained: bool) -> tuple[dict[str, Any], StateDict]:
    """Read a plain timm ViT, its temporal parts started as in the original repository."""
    import timm  # takes seconds to import, and only this reader needs it

    try:
        vit = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"timm could not make {name!r}: {first_line(error)}") from error
    cfg = vit.pretrained_cfg
    return inflate(vit, num_frames=num_frames, mean=cfg["mean"], std=cfg["std"], source=f"timm's {name}")


def inflate(
    vit: Any, *, num_frames: int, mean: Sequence[float], std: Sequence[float], source: str
) -> tuple[dict[str, Any], StateDict]:
    """Make a ViT of timm a TimeSformer that sees each frame as the ViT does, until it learns of time."""
    state: StateDict = dict(vit.state_dict())
    if not {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= state.keys():
        raise CheckpointError(f"{source} is no plain ViT with a class token; try vit_base_patch16_224")
    if not hasattr(vit.blocks[0], "attn"):
        raise CheckpointError(f"{source} has blocks without one plain attention; try vit_base_patch16_224")
    width = state["cls_token"].shape[-1]
    for key in [key for key in state if re.fullmatch(r"blocks\.\d+\.(attn|norm1)\..*", key)]:
        block, part, rest = re.fullmatch(r"(blocks\.\d+)\.(attn|norm1)\.(.*)", key).groups()  # type: ignore[union-attr]
        state[f"{block}.temporal_{part}.{rest}"] = state[key].clone()
    for index in range(len(vit.blocks)):
        state[f"blocks.{index}.temporal_fc.weight"] = torch.zeros(width, width)
        state[f"blocks.{index}.temporal_fc.bias"] = torch.zeros(width)
    state["time_embed"] = torch.zeros(1, num_frames, width)
    values = _shapes(state, heads=vit.blocks[0].attn.num_heads, source=source)
    values |= {"eps": vit.norm.eps, "mean": tuple(mean), "std": tuple(std)}
    return values, state


def read_original(path: Path, *, heads: int | None = None) -> tuple[dict[str, Any], StateDict]:
    """Read a `.pyth` file of facebookresearch/TimeSformer without running any code in it; the head is left behind."""
    state = read_torch(path, inside="model_state")
    state = {key.removeprefix("model."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("head.")}
    for key, dimensions in {"cls_token": 3, "pos_embed": 3, "time_embed": 3, "patch_embed.proj.weight": 4}.items():
        if key not in state or state[key].dim() != dimensions:
            raise CheckpointError(f"{path} is no divided space-time TimeSformer: it has no {key} of its kind")
    width = state["cls_token"].shape[-1]
    if heads is None and width % 64:
        raise CheckpointError(f"{path} is {width} wide, no multiple of the usual 64 per head; say --heads")
    return _shapes(state, heads=width // 64 if heads is None else heads, source=path), state


def _shapes(state: StateDict, *, heads: int, source: str | Path) -> dict[str, Any]:
    """Read the architecture from a state dict's own shapes."""
    positions = state["pos_embed"].shape[1]
    grid = math.isqrt(max(positions - 1, 0))
    if not grid or grid**2 != positions - 1:
        raise CheckpointError(f"{source} has {positions} positions: no square grid and one class token")
    patch = state["patch_embed.proj.weight"].shape[-1]
    fc1 = state.get("blocks.0.mlp.fc1.weight")
    if fc1 is None or fc1.dim() != 2:
        raise CheckpointError(f"{source} has no blocks.0.mlp.fc1.weight: no ViT's blocks")
    blocks = {int(match[1]) for key in state if (match := re.match(r"blocks\.(\d+)\.", key))}
    if blocks != set(range(len(blocks))):
        raise CheckpointError(f"{source} has blocks up to {max(blocks)} but only {len(blocks)} of them")
    return {
        "image_size": grid * patch,
        "patch_size": patch,
        "num_frames": state["time_embed"].shape[1],
        "width": state["cls_token"].shape[-1],
        "depth": len(blocks),
        "heads": heads,
        "mlp_width": fc1.shape[0],
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
    }
