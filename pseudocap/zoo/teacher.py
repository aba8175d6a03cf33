"""The zoo's teacher: a small BLIP that has learned to caption toy stills, as BLIP has the web's.

Its eye first learns to name what each patch shows, as BLIP's began with ImageNet.

Half of its captions name things and places; the other half guess what goes on, which a still only hints at. So it
hallucinates actions and mistakes their direction, as image captioners do of real video.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from pseudocap.toyworld.corpora import film_at, words_of
from pseudocap.toyworld.film import jpeg
from pseudocap.toyworld.render import render
from pseudocap.toyworld.speech import still_caption
from pseudocap.zoo.learning import Course, Progress, keep, learn
from pseudocap.zoo.patches import PatchHeads, patch_answers

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PAD, SEP, DEC = 0, 3, 5
LONGEST = 40  # tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecipe:
    size: int = 64
    patch: int = 8
    width: int = 128
    layers: int = 4
    heads: int = 4
    stills: int = 16_000
    captions: int = 4  # of each still, by different people
    batch: int = 64
    seeing: Course = field(default_factory=lambda: Course(steps=1500, lr=2e-3, warmup=100))
    course: Course = field(default_factory=lambda: Course(steps=2000, lr=1.5e-3, warmup=200))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stills:
    """Pictures [N, H, W, 3] uint8, what people say of each, and what each patch shows [N, S]."""

    pictures: np.ndarray
    captions: list[list[str]]
    kinds: np.ndarray
    colours: np.ndarray


Still = tuple[np.ndarray, list[str], np.ndarray, np.ndarray]


def draw_still(place: int, recipe: TeacherRecipe, seed: int) -> Still:
    """A still of the corpus `stills`, through JPEG, what people say of it, and the kind and colour of each patch."""
    film = film_at("stills", "train", place, seed=seed)
    rng = words_of("stills", "train", place, seed=seed)
    frame = int(rng.integers(film.frames))
    picture = np.asarray(Image.open(io.BytesIO(jpeg(render(film, frame, recipe.size)))).convert("RGB"))
    kinds, colours = patch_answers(film, [frame], recipe.size // recipe.patch)
    return picture, [still_caption(film, frame, rng) for _ in range(recipe.captions)], kinds[0], colours[0]


def _draw(job: tuple[int, TeacherRecipe, int]) -> Still:
    return draw_still(*job)


def draw_stills(recipe: TeacherRecipe, seed: int, progress: Progress | None = None) -> Stills:
    pictures = np.empty((recipe.stills, recipe.size, recipe.size, 3), np.uint8)
    captions, kinds, colours = [], [], []
    jobs = ((place, recipe, seed) for place in range(recipe.stills))
    with get_context("spawn").Pool(2) as pool:
        for place, (picture, said, kind, colour) in enumerate(pool.imap(_draw, jobs, chunksize=64)):
            pictures[place] = picture
            captions.append(said)
            kinds.append(kind)
            colours.append(colour)
            if progress is not None:
                progress(place + 1, recipe.stills)
    return Stills(pictures=pictures, captions=captions, kinds=np.stack(kinds), colours=np.stack(colours))


def build_teacher(
    folder: Path, recipe: TeacherRecipe, *, seed: int, progress: Progress | None = None
) -> dict[str, float]:
    """Draw the stills, train, and write BLIP as the hub has it."""
    stills = draw_stills(recipe, seed, progress)
    words = sorted(
        {word for said in stills.captions for text in said for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    )
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate((*MARKS, *words))}, bos_token="[DEC]")
    model = new_blip(recipe, words=len(words), seed=seed)
    processor = BlipImageProcessor(size={"height": recipe.size, "width": recipe.size})
    mean, std = (np.array(values, np.float32) for values in (processor.image_mean, processor.image_std))
    held_out = max(1, recipe.stills // 50)

    def pixels_of(places: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy((stills.pictures[places] / np.float32(255) - mean) / std)
        return pixels.permute(0, 3, 1, 2).contiguous()

    eye = Eye(model.vision_model, recipe.width)

    def seeing_at(step: int) -> torch.Tensor:
        places = np.random.default_rng((seed, 5, step)).integers(held_out, recipe.stills, size=recipe.batch)
        return eye.patches.loss(eye(pixels_of(places)), stills.kinds[places], stills.colours[places])

    def loss_of(places: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        said = [str(rng.choice(stills.captions[place])) for place in places]
        return _loss(model, pixels_of(places), _tokens(tokenizer, said))

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 3, step))
        return loss_of(rng.integers(held_out, recipe.stills, size=recipe.batch), rng)

    if not (folder / "eye.pt").is_file():
        learn(eye, seeing_at, recipe.seeing, state=folder / "seeing.pt", progress=progress)
        keep(dict(eye.state_dict()), folder / "eye.pt")
    eye.load_state_dict(torch.load(folder / "eye.pt", weights_only=True))
    with torch.no_grad():
        seen = eye.patches.right(eye(pixels_of(np.arange(held_out))), stills.kinds[:held_out])
    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        loss = float(loss_of(np.arange(held_out), np.random.default_rng((seed, 4))))
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    model.half().save_pretrained(folder)
    (folder / "eye.pt").unlink()
    return {"held-out loss": loss, "patch kind right": seen, "stills": recipe.stills, "words": len(words)}


def new_blip(recipe: TeacherRecipe, *, words: int, seed: int) -> BlipForConditionalGeneration:
    """With a vocabulary of so many words beside the marks, and nothing learned."""
    shape = {
        "hidden_size": recipe.width,
        "intermediate_size": 4 * recipe.width,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
    }
    config = BlipConfig(
        text_config={
            **shape,
            "encoder_hidden_size": recipe.width,
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
        vision_config={**shape, "image_size": recipe.size, "patch_size": recipe.patch},
        projection_dim=recipe.width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BlipForConditionalGeneration(config)


class Eye(nn.Module):
    """BLIP's vision transformer with heads that name what is under each patch."""

    def __init__(self, vision: nn.Module, width: int) -> None:
        super().__init__()
        self.vision = vision
        self.patches = PatchHeads(width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.vision(pixel_values=pixels).last_hidden_state
        return features[:, 1:]  # without the class token


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
