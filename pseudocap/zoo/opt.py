"""Train the zoo's language models: a byte-level BPE tokenizer, and a small OPT on text of all kinds.

The toy one reads text of another world than the regimes learn from: captions of films and stills, alt texts,
transcripts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerBase

from pseudocap.model.network import seeded
from pseudocap.toyworld.corpora import film_at, word_generator
from pseudocap.toyworld.grammar import Choice, caption
from pseudocap.toyworld.speech import alt_text, still_caption, talk
from pseudocap.types import Progress
from pseudocap.zoo.tiny import write_tokenizer
from pseudocap.zoo.train_loop import Course, learn, text_loss

LONGEST = 40  # tokens
BUCKETS = 6  # of lengths, in what a batch is drawn from


@dataclass(frozen=True, kw_only=True, slots=True)
class OPTRecipe:
    vocabulary: int = 1200
    width: int = 128
    layers: int = 6
    heads: int = 4
    batch: int = 64
    dropout: float = 0.0
    bfloat16: bool = False  # products in bfloat16, attention by plain products: a fifth of the time on a CPU
    course: Course = field(default_factory=lambda: Course(steps=1800, lr=2e-3))


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyText:
    films: int = 12_000  # each gives a caption of a film, of a still, and an alt text
    talks: int = 400


def toy_text(amount: ToyText, seed: int) -> tuple[list[str], list[str]]:
    """Return what a language model of the toy world learns from, and held-out text."""
    text = list(_toy_sentences(amount, seed))
    held_out = text[:: max(2, len(text) // 500)]
    return sorted(set(text) - set(held_out)), held_out


def _toy_sentences(amount: ToyText, seed: int) -> Iterator[str]:
    for index in range(amount.films):
        rng = word_generator("stills", "train", index, seed=seed)
        film = film_at("stills", "train", index, seed=seed)
        frame = int(rng.integers(film.frames))
        yield alt_text(film, frame, rng)
        yield still_caption(film, frame, rng)
        yield caption(film, Choice(rng))
    for index in range(amount.talks):
        film = film_at("talking", "train", index, seed=seed)
        yield from (utterance.text for utterance in talk(film, word_generator("talking", "train", index, seed=seed)))


def build_opt(
    folder: Path,
    recipe: OPTRecipe,
    learned: Sequence[str],
    held_out: Sequence[str],
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train the tokenizer and the OPT, and write both as the hub has them. Returns the perplexity on held-out text."""
    tokenizer = write_tokenizer(folder, learned, vocabulary=recipe.vocabulary)
    rows = _tokens(tokenizer, learned)
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        word_embed_proj_dim=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        ffn_dim=4 * recipe.width,
        max_position_embeddings=128,
        dropout=recipe.dropout,
        attention_dropout=0.0,
    )
    with seeded(seed):
        model = OPTForCausalLM(config)

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 1, step))
        drawn = sorted(rng.integers(len(rows), size=BUCKETS * recipe.batch), key=lambda index: len(rows[index]))
        first = recipe.batch * int(rng.integers(BUCKETS))  # texts of about one length: little padding
        torch.manual_seed(int(rng.integers(2**62)))  # of the dropout
        with _quick() if recipe.bfloat16 else contextlib.nullcontext():  # for each step: autocast keeps old weights
            return text_loss(
                model, [rows[index] for index in drawn[first : first + recipe.batch]], tokenizer.pad_token_id
            )

    with torch.random.fork_rng(devices=[]):
        learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    with torch.no_grad():
        loss = float(text_loss(model, _tokens(tokenizer, held_out), tokenizer.pad_token_id))
    model.half().save_pretrained(folder)
    return {"held-out perplexity": math.exp(loss), "texts": len(learned), "held-out texts": len(held_out)}


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Compute products in bfloat16, and attention without the fused kernel, whose backward is slow for a few words."""
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return [[end, *row[: LONGEST - 2], end] for row in ids]
