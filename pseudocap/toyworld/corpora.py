"""List the corpora of the world with their sizes, and draw any film of a corpus by its index.

A film is drawn from (seed, corpus, split, index) alone, its words and its sounds from other streams, so no corpus
shares a draw with another, a larger world begins with the films of a smaller one, and a change of words changes no
film.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pseudocap.data.corpora.msrvtt import CAPTIONS_EACH
from pseudocap.data.corpora.msrvtt import VIDEOS as MSRVTT_VIDEOS
from pseudocap.data.corpora.msvd import CAPTIONS as MSVD_CAPTIONS
from pseudocap.data.corpora.msvd import VIDEOS as MSVD_VIDEOS
from pseudocap.data.corpora.valor import VIDEOS as VALOR_VIDEOS
from pseudocap.errors import ConfigError, nearest
from pseudocap.toyworld.casting import Style, draw_film, draw_shot
from pseudocap.toyworld.hearing import audiovisual_references, sound_references
from pseudocap.toyworld.languages.table import language_of
from pseudocap.toyworld.questions import FilmQuestion, ask
from pseudocap.toyworld.scenes import Film
from pseudocap.toyworld.sounds import Soundtrack, draw_soundtrack

Scale = Literal["tiny", "small", "full"]
SCALES: tuple[Scale, ...] = ("tiny", "small", "full")
SPLITS = ("train", "val", "test")
NARROW = ("ball", "cube", "cup", "jug", "glass", "box", "hand", "car", "cat", "man", "robot", "apple")
LONG = (13, 17)  # shots of a talking film: fifteen of them make a greeting and a good-bye 13 % of the utterances


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusRecipe:
    """Describe a corpus: what it films, and how many films each scale has, by split."""

    name: str
    number: int  # in the seed: never changed, never used twice
    about: str
    style: Style
    films: dict[Scale, dict[str, int]]
    of: str = ""  # the corpus whose films it is about, where it has none of its own

    def indices(self, scale: Scale) -> Iterator[tuple[str, int]]:
        """Yield split and index of every film, in the order of the corpus's own files."""
        for split, count in self.films[scale].items():
            for index in range(count):
                yield split, index


def _thirds(train: int, val: int, test: int) -> dict[str, int]:
    return {"train": train, "val": val, "test": test}


CORPORA: dict[str, CorpusRecipe] = {
    recipe.name: recipe
    for recipe in (
        CorpusRecipe(
            name="clips",
            number=1,
            about="labelled clips of one action, to pre-train an encoder",
            style=Style(frames=(32, 32), second_action=0.0, cut=0.0),
            films={
                "tiny": {"train": 12, "val": 4},
                "small": {"train": 12_000, "val": 400},
                "full": {"train": 30_000, "val": 2000},
            },
        ),
        CorpusRecipe(
            name="stills",
            number=2,
            about="stills with noisy alt text in img2dataset tars: every kind of thing, hardly an action",
            style=Style(frames=(80, 80), cut=0.0, bystanders=(0.25, 0.4, 0.35)),
            films={"tiny": {"train": 40}, "small": {"train": 10_000}, "full": {"train": 100_000}},
        ),
        CorpusRecipe(
            name="talking",
            number=3,
            about="two-minute films with a transcript: a dozen kinds of things, every action",
            style=Style(kinds=NARROW, backgrounds=("table top", "room", "wall", "meadow"), frames=(48, 80), cut=0.0),
            films={"tiny": {"train": 2}, "small": {"train": 100}, "full": {"train": 1000}},
        ),
        CorpusRecipe(
            name="msrvtt",
            number=4,
            about="ten-second films with 20 references each, in MSR-VTT's files",
            style=Style(frames=(80, 80)),
            films={"tiny": _thirds(6, 2, 4), "small": _thirds(1300, 100, 600), "full": dict(MSRVTT_VIDEOS)},
        ),
        CorpusRecipe(
            name="msvd",
            number=5,
            about="short films with about 40 captions each, in MSVD's files",
            style=Style(frames=(40, 72), second_action=0.2, cut=0.05),
            films={"tiny": _thirds(4, 2, 3), "small": _thirds(240, 20, 134), "full": dict(MSVD_VIDEOS)},
        ),
        CorpusRecipe(
            name="own",
            number=6,
            about="a few films with captions in a file of your own, for `caption` and `finetune`",
            style=Style(frames=(48, 80)),
            films={"tiny": {"test": 4}, "small": {"test": 20}, "full": {"test": 100}},
        ),
        CorpusRecipe(
            name="valor",
            number=7,
            about="ten-second films whose captions say what is heard too, in VALOR's and AudioCaps' files",
            style=Style(frames=(80, 80), second_action=0.4),
            films={"tiny": _thirds(6, 2, 4), "small": _thirds(2400, 100, 600), "full": dict(VALOR_VIDEOS)},
        ),
        CorpusRecipe(
            name="qa",
            number=8,
            about="questions about the films of valor, with exact answers, in MSR-VTT-QA's files",
            style=Style(),
            films={"tiny": _thirds(6, 2, 4), "small": _thirds(2400, 100, 600), "full": dict(VALOR_VIDEOS)},
            of="valor",
        ),
    )
}


def recipe_of(name: str) -> CorpusRecipe:
    if name not in CORPORA:
        raise ConfigError(f"there is no corpus {name!r}{nearest(name, CORPORA)}; there are {', '.join(CORPORA)}")
    return CORPORA[name]


def filmed(name: str) -> CorpusRecipe:
    """Return the corpus whose films a corpus is about: mostly itself."""
    recipe = recipe_of(name)
    return recipe_of(recipe.of) if recipe.of else recipe


def entropy(recipe: CorpusRecipe, seed: int, split: str, index: int, stream: int) -> tuple[int, ...]:
    """Return the seed of a generator: unique to the seed, the corpus, the split, the index and the stream."""
    return (seed, recipe.number, SPLITS.index(split), index, stream)


def film_at(name: str, split: str, index: int, *, seed: int) -> Film:
    """Draw the film at an index of a corpus."""
    recipe = filmed(name)
    rng = np.random.default_rng(entropy(recipe, seed, split, index, 0))
    if name != "talking":
        return draw_film(recipe.style, rng)
    low, high = recipe.style.frames
    shots = int(rng.integers(LONG[0], LONG[1] + 1))
    return Film(
        shots=tuple(draw_shot(recipe.style, rng, frames=int(rng.integers(low, high + 1))) for _ in range(shots))
    )


def word_generator(name: str, split: str, index: int, *, seed: int, language: str = "en") -> np.random.Generator:
    """Return the generator behind all captions of the film at an index in a language, and its speech in English."""
    return np.random.default_rng(entropy(filmed(name), seed, split, index, language_of(language).stream))


def captions_at(
    name: str, split: str, index: int, *, seed: int, count: int | None = None, language: str = "en"
) -> list[str]:
    """Return the captions of the film at an index; `count` of them, or as many as the corpus has. Those in another
    language than English are people's own, no translations, and never say what is heard."""
    film, count = film_at(name, split, index, seed=seed), count or caption_count(name, split, index)
    rng = word_generator(name, split, index, seed=seed, language=language)
    if filmed(name).name == "valor" and language == "en":
        return audiovisual_references(film, soundtrack_at(name, split, index, seed=seed), count, rng)
    return language_of(language).references(film, count, rng)


def soundtrack_at(name: str, split: str, index: int, *, seed: int) -> Soundtrack:
    """Draw what sounds in the film at an index."""
    rng = np.random.default_rng(entropy(filmed(name), seed, split, index, 2))
    return draw_soundtrack(film_at(name, split, index, seed=seed), rng)


def sound_captions_at(name: str, split: str, index: int, *, seed: int) -> list[str]:
    """Return the captions of what is heard alone, as many as AudioCaps has; none where nothing is heard."""
    rng = np.random.default_rng(entropy(recipe_of(name), seed, split, index, 3))
    return sound_references(soundtrack_at(name, split, index, seed=seed), 1 if split == "train" else 5, rng)


def questions_at(split: str, index: int, *, seed: int) -> list[FilmQuestion]:
    """Return the questions about the film at an index of `valor`, and their answers."""
    recipe = recipe_of("qa")
    film, track = film_at("qa", split, index, seed=seed), soundtrack_at("qa", split, index, seed=seed)
    rng = np.random.default_rng(entropy(recipe, seed, split, index, 0))
    other = soundtrack_at("qa", split, int(rng.integers(recipe.films["full"][split])), seed=seed)
    return ask(film, track, other, rng)


def caption_count(name: str, split: str, index: int) -> int:
    """Return 20 for MSR-VTT; for MSVD shares of its total, so that a full corpus has the very number that MSVD has."""
    if name == "msvd":
        total, videos = MSVD_CAPTIONS[split], MSVD_VIDEOS[split]
        return total * (index % videos + 1) // videos - total * (index % videos) // videos
    return {"msrvtt": CAPTIONS_EACH, "own": 5, "valor": 5, "qa": 5}.get(name, 1)
