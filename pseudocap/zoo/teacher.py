"""The zoo's teacher: a small BLIP that has learned to caption toy stills, as BLIP has the web's.

Half of its captions name things and places; the other half guess what goes on, which a still only hints at. So it
hallucinates actions and mistakes their direction, as image captioners do of real video.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from pseudocap.toyworld.corpora import film_at, words_of
from pseudocap.toyworld.film import jpeg
from pseudocap.toyworld.render import render
from pseudocap.toyworld.speech import still_caption
from pseudocap.zoo.learning import Course, Progress, learn

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
    course: Course = field(default_factory=lambda: Course(steps=2000, lr=1.5e-3, warmup=200))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stills:
    """Pictures [N, H, W, 3] uint8 and what people say of each."""

    pictures: np.ndarray
    captions: list[list[str]]


def draw_still(place: int, size: int, count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """A still of the corpus `stills`, through JPEG, and what `count` people say of it."""
    film = film_at("stills", "train", place, seed=seed)
    rng = words_of("stills", "train", place, seed=seed)
    frame = int(rng.integers(film.frames))
    return _through_jpeg(render(film, frame, size)), [still_caption(film, frame, rng) for _ in range(count)]


def _through_jpeg(picture: np.ndarray) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg(picture))).convert("RGB"))


def _draw(job: tuple[int, int, int, int]) -> tuple[np.ndarray, list[str]]:
    return draw_still(*job)


def draw_stills(recipe: TeacherRecipe, seed: int, progress: Progress | None = None) -> Stills:
    pictures = np.empty((recipe.stills, recipe.size, recipe.size, 3), np.uint8)
    captions = []
    jobs = ((place, recipe.size, recipe.captions, seed) for place in range(recipe.stills))
    with get_context("spawn").Pool(2) as pool:
        for place, (picture, said) in enumerate(pool.imap(_draw, jobs, chunksize=64)):
            pictures[place] = picture
            captions.append(said)
            if progress is not None:
                progress(place + 1, recipe.stills)
    return Stills(pictures=pictures, captions=captions)


def build_teacher(
    folder: Path, recipe: TeacherRecipe, *, seed: int, progress: Progress | None = None
) -> dict[str, float]:
    """Draw the stills, train, and write BLIP as the hub has it."""
    stills = draw_stills(recipe, seed, progress)
    words = sorted(
        {word for said in stills.captions for text in said for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    )
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate((*MARKS, *words))}, bos_token="[DEC]")
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
            "vocab_size": len(MARKS) + len(words),
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
        model = BlipForConditionalGeneration(config)
    processor = BlipImageProcessor(size={"height": recipe.size, "width": recipe.size})
    mean, std = (np.array(values, np.float32) for values in (processor.image_mean, processor.image_std))
    held_out = max(1, recipe.stills // 50)

    def loss_of(places: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        pixels = torch.from_numpy((stills.pictures[places] / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
        said = [str(rng.choice(stills.captions[place])) for place in places]
        return _loss(model, pixels.contiguous(), _tokens(tokenizer, said))

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 3, step))
        return loss_of(rng.integers(held_out, recipe.stills, size=recipe.batch), rng)

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        loss = float(loss_of(np.arange(held_out), np.random.default_rng((seed, 4))))
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    model.half().save_pretrained(folder)
    return {"held-out loss": loss, "stills": recipe.stills, "words": len(words)}


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
