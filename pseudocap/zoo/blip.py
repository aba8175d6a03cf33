"""Train the zoo's teacher: a small BLIP that learns to caption toy stills, as BLIP has the web's.

Its vision tower begins with the zoo's ViT, as BLIP's began with ImageNet's.

Half of its captions name things and settings; the other half guess what goes on, which a still only hints at. So it
hallucinates actions and mistakes their direction, as image captioners do of real video.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from pseudocap.model.network import seeded
from pseudocap.types import Progress
from pseudocap.zoo.train_loop import Course, learn, text_loss
from pseudocap.zoo.vit import MEAN, STD, ViTRecipe, draw_stills, normalised, read_vit

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PAD, SEP, DEC = 0, 3, 5
LONGEST = 40  # tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecipe:
    """Set the text decoder: the size of the vision tower is the ViT's, and the text decoder has its width."""

    layers: int = 4
    heads: int = 4
    stills: int = 16_000
    captions: int = 4  # of each still, by different people
    batch: int = 64
    course: Course = field(default_factory=lambda: Course(steps=2000, lr=1e-3, warmup=200))


def build_blip(
    folder: Path, weights: Path, vit: ViTRecipe, recipe: TeacherRecipe, *, seed: int, progress: Progress | None = None
) -> dict[str, float]:
    """Draw the stills, train, and write BLIP as the hub has it."""
    stills = draw_stills(
        recipe.stills, seed=seed, size=vit.size, grid=vit.size // vit.patch, captions=recipe.captions, progress=progress
    )
    words = sorted(
        {word for texts in stills.captions for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    )
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate((*MARKS, *words))}, bos_token="[DEC]")
    model = new_blip(recipe, vit, words=len(words), seed=seed)
    model.vision_model.load_state_dict(as_vision(read_vit(weights, vit)))
    held_out = max(1, recipe.stills // 50)

    def loss_of(indices: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        texts = [str(rng.choice(stills.captions[index])) for index in indices]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        rows = [[DEC, *row[: LONGEST - 2], SEP] for row in ids]
        return text_loss(model, rows, PAD, pixel_values=normalised(stills.pictures[indices]))

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 3, step))
        return loss_of(rng.integers(held_out, recipe.stills, size=recipe.batch), rng)

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        loss = float(loss_of(np.arange(held_out), np.random.default_rng((seed, 4))))
    size = {"height": vit.size, "width": vit.size}
    processor = BlipImageProcessor(size=size, image_mean=[MEAN] * 3, image_std=[STD] * 3)
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    model.half().save_pretrained(folder)
    return {"held-out loss": loss, "stills": recipe.stills, "words": len(words)}


def as_vision(vit: VisionTransformer) -> dict[str, torch.Tensor]:
    """Return the tensors of a ViT of timm under the names of BLIP's vision tower, which is the same network."""
    parts = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.qkv": "self_attn.qkv"}
    parts |= {"attn.proj": "self_attn.projection", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    outside = {"cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding"}
    outside |= {f"patch_embed.proj.{kind}": f"embeddings.patch_embedding.{kind}" for kind in ("weight", "bias")}
    outside |= {f"norm.{kind}": f"post_layernorm.{kind}" for kind in ("weight", "bias")}
    found = {}
    for name, value in vit.state_dict().items():
        if block := re.fullmatch(r"blocks\.(\d+)\.(.*)\.(weight|bias)", name):
            layer, part, kind = block.groups()
            found[f"encoder.layers.{layer}.{parts[part]}.{kind}"] = value
        else:
            found[outside[name]] = value
    return found


def new_blip(recipe: TeacherRecipe, vit: ViTRecipe, *, words: int, seed: int) -> BlipForConditionalGeneration:
    """Build a BLIP with a vocabulary of so many words beside the marks, and nothing learned."""
    width = {"hidden_size": vit.width, "intermediate_size": 4 * vit.width}
    vision = {**width, "num_hidden_layers": vit.depth, "num_attention_heads": vit.heads, "layer_norm_eps": 1e-6}
    text = {**width, "num_hidden_layers": recipe.layers, "num_attention_heads": recipe.heads}
    config = BlipConfig(
        text_config={
            **text,
            "encoder_hidden_size": vit.width,
            "vocab_size": len(MARKS) + words,
            "max_position_embeddings": 64,
            "bos_token_id": DEC,
            "eos_token_id": SEP,
            "sep_token_id": SEP,
            "pad_token_id": PAD,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "label_smoothing": 0.0,
        },
        vision_config={**vision, "image_size": vit.size, "patch_size": vit.patch},
        projection_dim=vit.width,
    )
    with seeded(seed):
        return BlipForConditionalGeneration(config)
