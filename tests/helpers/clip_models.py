"""Tiny CLIP-like models of random weights, in the formats that transformers and open_clip publish theirs in."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from pseudocap.model.network import seeded

SIDE, PATCH, LENGTH = 32, 8, 24
LETTERS = string.ascii_lowercase
VOCABULARY = {
    token: number
    for number, token in enumerate(
        [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    )
}
START, END = VOCABULARY["<|startoftext|>"], VOCABULARY["<|endoftext|>"]
SHAPE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def write_clip_tokenizer(folder: Path) -> None:
    transformers.CLIPTokenizer(vocab=VOCABULARY, merges=[]).save_pretrained(folder)


def write_image_text(folder: Path, kind: str = "clip") -> nn.Module:
    """Write a CLIP or a SigLIP with its processor and tokenizer, and return it in evaluation mode."""
    text = {**SHAPE, "vocab_size": len(VOCABULARY), "max_position_embeddings": LENGTH}
    text |= {"bos_token_id": START, "eos_token_id": END, "pad_token_id": END}
    vision = {**SHAPE, "image_size": SIDE, "patch_size": PATCH}
    name = {"clip": "CLIP", "siglip": "Siglip"}[kind]
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    with seeded(0):
        model = getattr(transformers, f"{name}Model")(config).eval()
        spread(model)
    model.save_pretrained(folder)
    sides: dict[str, Any] = {"size": {"height": SIDE, "width": SIDE}}
    if kind == "clip":
        sides = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    getattr(transformers, f"{name}ImageProcessor")(**sides).save_pretrained(folder)
    write_clip_tokenizer(folder)
    return model


def spread(model: nn.Module) -> None:
    """Draw weights as large as learned ones, with biases and gains that differ from their start."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3 if parameter.dim() > 1 else 0.1)


class OpenClip(nn.Module):
    """An independent CLIP in open_clip's layout of weights, on torch's own attention."""

    def __init__(self, *, width: int = 64, dim: int = 12, layers: int = 2, text_width: int = 16, quick: bool) -> None:
        super().__init__()
        self.visual = _Visual(width, dim, layers, quick)
        self.transformer = _Blocks(text_width, 2, layers, quick)
        self.token_embedding = nn.Embedding(len(VOCABULARY), text_width)
        self.positional_embedding = nn.Parameter(torch.empty(LENGTH, text_width).normal_())
        self.ln_final = nn.LayerNorm(text_width)
        self.text_projection = nn.Parameter(torch.empty(text_width, dim).normal_())
        self.logit_scale = nn.Parameter(torch.tensor(2.6))

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        ahead = torch.full((ids.shape[1],) * 2, -torch.inf).triu(1)
        hidden = self.ln_final(self.transformer(hidden, ahead))
        return hidden[torch.arange(len(ids)), ids.argmax(1)] @ self.text_projection

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)


class _Visual(nn.Module):
    def __init__(self, width: int, dim: int, layers: int, quick: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width).normal_())
        self.positional_embedding = nn.Parameter(torch.empty((SIDE // PATCH) ** 2 + 1, width).normal_())
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _Blocks(width, 1, layers, quick)
        self.proj = nn.Parameter(torch.empty(width, dim).normal_())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.conv1(images).flatten(2).mT
        hidden = torch.cat([self.class_embedding.expand(len(images), 1, -1), patches], 1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(hidden))[:, 0]) @ self.proj


class _Blocks(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, quick: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads, quick) for _ in range(layers))

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.resblocks:
            hidden = block(hidden, mask)
        return hidden


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, quick: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.quick = quick

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen = self.ln_1(hidden)
        hidden = hidden + self.attn(seen, seen, seen, attn_mask=mask, need_weights=False)[0]
        inner = self.mlp["c_fc"](self.ln_2(hidden))
        inner = inner * torch.sigmoid(1.702 * inner) if self.quick else nn.functional.gelu(inner)
        return hidden + self.mlp["c_proj"](inner)


def write_open_clip(folder: Path, *, quick: bool = False, pickled: bool = False, **vision: Any) -> OpenClip:
    """Write a model as open_clip pushes it to the hub, with the tokenizer of transformers beside it."""
    with seeded(0):
        model = OpenClip(quick=quick).eval()
        spread(model)
    cfg: dict[str, Any] = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 64, "patch_size": PATCH, **vision},
        "text_cfg": {
            "context_length": LENGTH, "vocab_size": len(VOCABULARY), "width": 16, "heads": 2, "layers": 2
        },
    }  # fmt: skip
    if quick:
        cfg["quick_gelu"] = True
    write_clip_tokenizer(folder)
    document = {"model_cfg": cfg, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if pickled:
        torch.save(state, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(state, folder / "open_clip_model.safetensors")
    return model
