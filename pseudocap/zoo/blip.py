"""The zoo's teacher: a small BLIP that has learned to caption toy stills, as BLIP has the web's.

Its vision tower begins with the zoo's eye, as BLIP's began with ImageNet's.

Half of its captions name things and places; the other half guess what goes on, which a still only hints at. So it
hallucinates actions and mistakes their direction, as image captioners do of real video.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from pseudocap.types import Progress
from pseudocap.zoo.train_loop import Course, learn
from pseudocap.zoo.vit import MEAN, STD, EyeRecipe, draw_stills, normalised, read_eye

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PAD, SEP, DEC = 0, 3, 5
LONGEST = 40  # tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecipe:
    """The size of the vision tower is the eye's, and the writer has its width."""

    layers: int = 4
    heads: int = 4
    stills: int = 16_000
    captions: int = 4  # of each still, by different people
    batch: int = 64
    course: Course = field(default_factory=lambda: Course(steps=2000, lr=1e-3, warmup=200))


def build_blip(
    folder: Path, eye: Path, eyes: EyeRecipe, recipe: TeacherRecipe, *, seed: int, progress: Progress | None = None
) -> dict[str, float]:
    """Draw the stills, train, and write BLIP as the hub has it."""
    stills = draw_stills(
        recipe.stills,
        seed=seed,
        size=eyes.size,
        grid=eyes.size // eyes.patch,
        captions=recipe.captions,
        progress=progress,
    )
    words = sorted(
        {word for said in stills.captions for text in said for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    )
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate((*MARKS, *words))}, bos_token="[DEC]")
    model = new_blip(recipe, eyes, words=len(words), seed=seed)
    model.vision_model.load_state_dict(as_vision(read_eye(eye, eyes)))
    held_out = max(1, recipe.stills // 50)

    def loss_of(places: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        said = [str(rng.choice(stills.captions[place])) for place in places]
        return _loss(model, normalised(stills.pictures[places]), _tokens(tokenizer, said))

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 3, step))
        return loss_of(rng.integers(held_out, recipe.stills, size=recipe.batch), rng)

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        loss = float(loss_of(np.arange(held_out), np.random.default_rng((seed, 4))))
    size = {"height": eyes.size, "width": eyes.size}
    processor = BlipImageProcessor(size=size, image_mean=[MEAN] * 3, image_std=[STD] * 3)
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    model.half().save_pretrained(folder)
    return {"held-out loss": loss, "stills": recipe.stills, "words": len(words)}


def as_vision(vit: VisionTransformer) -> dict[str, torch.Tensor]:
    """The tensors of a ViT of timm under the names of BLIP's vision tower, which is the same network."""
    parts = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.qkv": "self_attn.qkv"}
    parts |= {"attn.proj": "self_attn.projection", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    whole = {"cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding"}
    whole |= {f"patch_embed.proj.{kind}": f"embeddings.patch_embedding.{kind}" for kind in ("weight", "bias")}
    whole |= {f"norm.{kind}": f"post_layernorm.{kind}" for kind in ("weight", "bias")}
    found = {}
    for name, value in vit.state_dict().items():
        if block := re.fullmatch(r"blocks\.(\d+)\.(.*)\.(weight|bias)", name):
            layer, part, kind = block.groups()
            found[f"encoder.layers.{layer}.{parts[part]}.{kind}"] = value
        else:
            found[whole[name]] = value
    return found


def new_blip(recipe: TeacherRecipe, eyes: EyeRecipe, *, words: int, seed: int) -> BlipForConditionalGeneration:
    """With a vocabulary of so many words beside the marks, and nothing learned."""
    width = {"hidden_size": eyes.width, "intermediate_size": 4 * eyes.width}
    sees = {**width, "num_hidden_layers": eyes.depth, "num_attention_heads": eyes.heads, "layer_norm_eps": 1e-6}
    writes = {**width, "num_hidden_layers": recipe.layers, "num_attention_heads": recipe.heads}
    config = BlipConfig(
        text_config={
            **writes,
            "encoder_hidden_size": eyes.width,
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
        vision_config={**sees, "image_size": eyes.size, "patch_size": eyes.patch},
        projection_dim=eyes.width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BlipForConditionalGeneration(config)


def _tokens(tokenizer: BertTokenizer, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [[DEC, *ids[: LONGEST - 2], SEP] for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
    return ids, (ids != PAD).long()


def _loss(
    model: BlipForConditionalGeneration, pixels: torch.Tensor, tokens: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    ids, mask = tokens
    return model(pixel_values=pixels, input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
