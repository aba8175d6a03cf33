"""Train the zoo's ViT, a small one of timm, to name what each patch of a still holds.

Published TimeSformers and BLIPs begin with a ViT that ImageNet has taught. So do the zoo's TimeSformer and BLIP: both
with this one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from pseudocap.files.atomic import unfinished
from pseudocap.model.network import seeded
from pseudocap.toyworld.corpora import film_at, word_generator
from pseudocap.toyworld.render import render
from pseudocap.toyworld.speech import still_caption
from pseudocap.types import Progress
from pseudocap.video.picture import jpeg
from pseudocap.workers import ordered
from pseudocap.zoo.patches import PatchHeads, patch_answers
from pseudocap.zoo.train_loop import Course, learn

MEAN, STD = 0.45, 0.225  # of every colour, as TimeSformers have it
WEIGHTS = "vit.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTRecipe:
    size: int = 64
    patch: int = 8
    width: int = 128
    depth: int = 4
    heads: int = 4
    stills: int = 40_000
    batch: int = 32
    course: Course = field(default_factory=lambda: Course(steps=8000, lr=2e-3, warmup=200))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stills:
    """Hold pictures [N, H, W, 3] uint8, the captions of each, and what each patch holds [N, S]."""

    pictures: np.ndarray
    captions: Sequence[Sequence[str]]
    kinds: np.ndarray
    colours: np.ndarray


Still = tuple[np.ndarray, list[str], np.ndarray, np.ndarray]
StillJob = tuple[int, int, int, int, int]  # index, seed, size, grid, captions


def draw_still(job: StillJob) -> Still:
    """Draw a still of the corpus `stills`, through JPEG, with its captions, and the kind and colour of each patch."""
    index, seed, size, grid, captions = job
    film = film_at("stills", "train", index, seed=seed)
    rng = word_generator("stills", "train", index, seed=seed)
    frame = int(rng.integers(film.frames))
    picture = np.asarray(Image.open(io.BytesIO(jpeg(render(film, frame, size)))).convert("RGB"))
    answers = patch_answers(film, [frame], grid)
    return picture, [still_caption(film, frame, rng) for _ in range(captions)], answers.kinds[0], answers.colours[0]


def draw_stills(
    count: int, *, seed: int, size: int, grid: int, captions: int = 0, progress: Progress | None = None
) -> Stills:
    pictures = np.empty((count, size, size, 3), np.uint8)
    texts_of_all, kinds, colours = [], [], []
    jobs = ((index, seed, size, grid, captions) for index in range(count))
    for index, (picture, texts, kind, colour) in enumerate(ordered(draw_still, jobs, workers=2, ahead=64)):
        pictures[index] = picture
        texts_of_all.append(texts)
        kinds.append(kind)
        colours.append(colour)
        if progress is not None:
            progress(index + 1, count)
    return Stills(pictures=pictures, captions=texts_of_all, kinds=np.stack(kinds), colours=np.stack(colours))


def normalised(pictures: np.ndarray) -> torch.Tensor:
    """Turn [..., H, W, 3] uint8 into [..., 3, H, W] float."""
    pixels = torch.from_numpy((pictures / np.float32(255) - np.float32(MEAN)) / np.float32(STD))
    return pixels.movedim(-1, -3).contiguous()


class Naming(nn.Module):
    """Name what is under each patch: the ViT, and heads on it."""

    def __init__(self, vit: VisionTransformer, width: int) -> None:
        super().__init__()
        self.vit = vit
        self.patches = PatchHeads(width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.vit.forward_features(pixels)
        return features[:, 1:]  # without the class token


def new_vit(recipe: ViTRecipe) -> VisionTransformer:
    return VisionTransformer(
        img_size=recipe.size,
        patch_size=recipe.patch,
        embed_dim=recipe.width,
        depth=recipe.depth,
        num_heads=recipe.heads,
        num_classes=0,
    )


def build_vit(folder: Path, recipe: ViTRecipe, *, seed: int, progress: Progress | None = None) -> dict[str, float]:
    """Draw the stills, train, and write the ViT. Returns how often it names a held-out patch right."""
    grid = recipe.size // recipe.patch
    stills = draw_stills(recipe.stills, seed=seed, size=recipe.size, grid=grid, progress=progress)
    with seeded(seed):
        model = Naming(new_vit(recipe), recipe.width)
    held_out = max(1, recipe.stills // 50)

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 5, step))
        indices = rng.integers(held_out, recipe.stills, size=recipe.batch)
        turned = rng.random(recipe.batch) < 0.5  # left and right are alike to a still

        def each(values: np.ndarray, axis: int) -> np.ndarray:
            flags = turned.reshape(-1, *[1] * (values.ndim - 1))
            return np.where(flags, np.flip(values, axis), values)

        kinds, colours = (
            each(classes[indices].reshape(-1, grid, grid), 2) for classes in (stills.kinds, stills.colours)
        )
        return model.patches.loss(model(normalised(each(stills.pictures[indices], 2))), kinds, colours)

    losses = learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        right = model.patches.right(model(normalised(stills.pictures[:held_out])), stills.kinds[:held_out])
    with unfinished(folder / WEIGHTS) as scratch:
        save_file({name: value.contiguous() for name, value in model.vit.state_dict().items()}, scratch)
    return {"patch kind right": right, "loss": float(np.mean(losses[-100:])), "stills": recipe.stills}


def read_vit(folder: Path, recipe: ViTRecipe) -> VisionTransformer:
    vit = new_vit(recipe)
    vit.load_state_dict(load_file(folder / WEIGHTS))
    return vit
