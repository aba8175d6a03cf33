"""Tiny image models of random weights in the formats that timm and transformers publish theirs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from timm.models import save_for_hf
from torch import nn

SIZE, PATCH = 32, 8
SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": PATCH,
}
VIT = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": 16, "depth": 2, "num_heads": 2}


def write_timm(folder: Path, name: str = "vit_base_patch16_clip_224.openai", **args: Any) -> nn.Module:
    """A timm model with its classifier, and the model itself in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, **args).eval()
        scramble(model)
    size = args.get("img_size", model.pretrained_cfg["input_size"][-1])
    config = {"pretrained_cfg": {**model.pretrained_cfg, "input_size": (3, size, size)}}
    save_for_hf(model, folder, model_config=config, model_args=args, safe_serialization=True)
    return model


def scramble(model: nn.Module) -> None:
    """Weights and statistics as training leaves them: nothing at its start of zero or one."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor += 0.1 * torch.rand_like(tensor)


TOWER = {"text_config": {**SHAPE, "vocab_size": 99, "max_position_embeddings": 8}, "vision_config": SHAPE}
TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "clip": ("CLIPModel", "CLIPImageProcessor", TOWER),
    "siglip": ("SiglipModel", "SiglipImageProcessor", TOWER),
    "vit": ("ViTForImageClassification", "ViTImageProcessor", SHAPE),
    "dinov2": ("Dinov2Model", "BitImageProcessor", SHAPE),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "BitImageProcessor", {**SHAPE, "num_register_tokens": 4}),
    "dinov3_vit": ("DINOv3ViTModel", "DINOv3ViTImageProcessor", {**SHAPE, "num_register_tokens": 2}),
    "swin": (
        "SwinForImageClassification",
        "ViTImageProcessor",
        {"image_size": SIZE, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    ),
    "resnet": (
        "ResNetForImageClassification",
        "ConvNextImageProcessor",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
    "convnext": (
        "ConvNextModel",
        "ConvNextImageProcessor",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    ),
}


def write_transformers(folder: Path, kind: str) -> nn.Module:
    """A model of transformers with its image processor, and the model itself in evaluation mode."""
    name, processor, shape = TRANSFORMERS[kind]
    model_class = getattr(transformers, name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(model_class.config_class(**shape)).eval()
        scramble(model)
    model.save_pretrained(folder)
    sides: dict[str, Any] = {"size": {"height": SIZE, "width": SIZE}}
    if processor in ("CLIPImageProcessor", "BitImageProcessor"):
        sides = {"size": {"shortest_edge": SIZE + 4}, "crop_size": {"height": SIZE, "width": SIZE}}
    elif processor == "ConvNextImageProcessor":
        sides = {"size": {"shortest_edge": SIZE}}
    getattr(transformers, processor)(**sides).save_pretrained(folder)
    return model


def write_classifier(folder: Path, *labels: str) -> None:
    """A classifier of transformers with these labels; it sees each of up to five in every picture."""
    names = dict(enumerate(labels))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.ViTConfig(**SHAPE, id2label=names, label2id={name: key for key, name in names.items()})
        transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
