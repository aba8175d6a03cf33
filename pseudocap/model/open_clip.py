"""Read CLIP models in open_clip's format into transformers' CLIPModel: open_clip_config.json, and weights beside it.

Only what most released checkpoints are: a ViT over square patches and open_clip's own text transformer, both with one
projection. Others (CoCa, ConvNeXt or timm towers, text towers of Hugging Face) are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.sources import find_file, read_json
from pseudocap.model.weights import load_exactly, read_tensors, read_torch

CONFIG_FILE = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
VISION_FIELDS = frozenset({"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"})
TEXT_FIELDS = frozenset({"context_length", "vocab_size", "width", "heads", "layers"})
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's, where none are named
RENAMED = (
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
    (r"(layers\.\d+\.)ln_([12])\.", r"\1layer_norm\2."),
    (r"(layers\.\d+\.)attn\.", r"\1self_attn."),
    (r"(layers\.\d+\.mlp\.)c_fc\.", r"\1fc1."),
    (r"(layers\.\d+\.mlp\.)c_proj\.", r"\1fc2."),
)


def read_open_clip(source: str | Path, access: Mapping[str, Any]) -> tuple[CLIPModel, CLIPImageProcessor]:
    """Load a model and its image processor; CheckpointError names what is not supported."""
    path = find_file(source, CONFIG_FILE, **access)
    document: Any = read_json(path)
    try:
        fields, seen = document["model_cfg"], document.get("preprocess_cfg") or {}
        config = _config(fields)
        size = config.vision_config.image_size
        processor = CLIPImageProcessor(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            image_mean=seen.get("mean") or MEAN,
            image_std=seen.get("std") or STD,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no config of open_clip that is read: {first_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {first_line(error)}; convert it to transformers' format") from error
    with torch.device("meta"):
        model = CLIPModel(config)
    state = convert(_weights(source, access))
    for name, buffer in model.named_buffers():  # positions, which are computed and not stored
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, torch.arange(buffer.shape[-1]).expand(1, -1))
    load_exactly(model, state, source=source)
    return model.eval(), processor


def convert(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return open_clip's weights under transformers' keys, in float32."""
    converted = {}
    for old, tensor in state.items():
        name = old
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        tensor = tensor.float()
        if name.endswith("_projection.weight"):
            tensor = tensor.T.contiguous()
        if match := re.fullmatch(r"(.*self_attn\.)in_proj_(weight|bias)", name):
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                converted[f"{match[1]}{part}_proj.{match[2]}"] = third.clone()
        elif name not in ("attn_mask", "logit_bias"):
            converted[name] = tensor
    return converted


def _config(fields: Mapping[str, Any]) -> CLIPConfig:
    vision, text = fields["vision_cfg"], fields["text_cfg"]
    for name, given, known in (("vision_cfg", vision, VISION_FIELDS), ("text_cfg", text, TEXT_FIELDS)):
        if odd := sorted(key for key, value in given.items() if key not in known and value):
            raise ValueError(f"{name} has {', '.join(odd)}, which is more than a plain CLIP has")
    if not isinstance(vision["layers"], int):
        raise ValueError("vision_cfg.layers is a list: a ResNet, which transformers' CLIP has not")
    act = "quick_gelu" if fields.get("quick_gelu") else "gelu"
    width = vision["width"]
    return CLIPConfig(
        projection_dim=fields["embed_dim"],
        vision_config=CLIPVisionConfig(
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            hidden_size=width,
            intermediate_size=int(width * vision.get("mlp_ratio", 4.0)),
            num_hidden_layers=vision["layers"],
            num_attention_heads=width // vision.get("head_width", 64),
            projection_dim=fields["embed_dim"],
            hidden_act=act,
        ).to_dict(),
        text_config=CLIPTextConfig(
            vocab_size=text["vocab_size"],
            max_position_embeddings=text["context_length"],
            hidden_size=text["width"],
            intermediate_size=4 * text["width"],
            num_hidden_layers=text["layers"],
            num_attention_heads=text["heads"],
            projection_dim=fields["embed_dim"],
            hidden_act=act,
            bos_token_id=text["vocab_size"] - 2,
            eos_token_id=text["vocab_size"] - 1,
        ).to_dict(),
    )


def _weights(source: str | Path, access: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    safe, pickled = WEIGHTS
    try:
        return read_tensors(find_file(source, safe, **access))
    except CheckpointError as error:
        try:
            path = find_file(source, pickled, **access)
        except CheckpointError:
            raise error from None
    return read_torch(path)
