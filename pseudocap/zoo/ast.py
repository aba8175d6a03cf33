"""Train the zoo's AST, a small one of transformers, to name what sounds in each moment of a film.

It hears synthesised sound of another seed than the regimes' world, without pictures and captions: soundtracks of films,
and tracks of sounds drawn evenly. The heads read what adapters will read, the maximum over pitch of each moment; they
are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from pseudocap.audio.spectrogram import sound_windows
from pseudocap.model.network import seeded
from pseudocap.toyworld.corpora import soundtrack_at
from pseudocap.toyworld.scenes import FPS, TICKS
from pseudocap.toyworld.sounds import SoundEvent, Soundtrack, mix, waves_of
from pseudocap.toyworld.synthesis import SOUNDS
from pseudocap.types import Progress, SoundPreprocess
from pseudocap.zoo.train_loop import Course, learn

NAMES = tuple(SOUNDS)
CORPUS = "valor"
SECONDS = 10
AUDIBLE = 0.02  # of a sample, below which nothing sounds
GAPS = 2  # moments between two steps or knocks that belong to one sound


@dataclass(frozen=True, kw_only=True, slots=True)
class CooledCourse(Course):
    """Follow the cosine of `horizon` steps, and go straight down to nothing in the last `cooling` steps of fewer."""

    horizon: int
    cooling: int

    def rate(self, step: int) -> float:
        planned = Course(steps=self.horizon, lr=self.lr, warmup=self.warmup)
        return planned.rate(min(step, self.steps - self.cooling)) * min(1.0, (self.steps - step) / self.cooling)


@dataclass(frozen=True, kw_only=True, slots=True)
class ASTRecipe:
    bins: int = 64
    frames: int = 1024
    patch: int = 16
    width: int = 96
    depth: int = 4
    heads: int = 4
    batch: int = 12
    held_out: int = 200  # films
    course: Course = field(
        default_factory=lambda: CooledCourse(steps=1000, horizon=1500, cooling=200, lr=2e-3, warmup=100)
    )

    @property
    def preprocess(self) -> SoundPreprocess:
        return SoundPreprocess(bins=self.bins, frames=self.frames)


class SoundNaming(nn.Module):
    """Name what sounds in each moment, and in all: the AST, and heads on the maximum of its grid over pitch."""

    def __init__(self, ast: ASTModel, recipe: ASTRecipe) -> None:
        super().__init__()
        self.ast = ast
        self.rows = recipe.bins // recipe.patch
        self.moments = nn.Linear(recipe.width, len(NAMES))
        self.film = nn.Linear(recipe.width, len(NAMES))

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of each moment [B, T, names] and of all [B, names], of windows [B, frames, bins]."""
        tokens = self.ast(input_values=windows).last_hidden_state[:, 2:]  # without its two class tokens
        heard = tokens.unflatten(1, (self.rows, -1)).amax(1)
        return self.moments(heard), self.film(heard.amax(1))


def new_ast(recipe: ASTRecipe) -> ASTModel:
    config = ASTConfig(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.depth,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        patch_size=recipe.patch,
        frequency_stride=recipe.patch,
        time_stride=recipe.patch,
        max_length=recipe.frames,
        num_mel_bins=recipe.bins,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ASTModel(config)


def practice_track(rng: np.random.Generator) -> Soundtrack:
    """Draw one to four sounds, each as often as any other, at any time and loudness."""
    ticks = SECONDS * FPS * TICKS
    noises = []
    for _ in range(int(rng.integers(1, 5))):
        length = int(ticks * rng.uniform(0.1, 0.9))
        start = int(rng.integers(0, ticks - length + 1))
        loudness, final = rng.uniform(0.15, 0.9, size=2) if rng.random() < 0.2 else [rng.uniform(0.15, 0.9)] * 2
        noises.append(
            SoundEvent(
                name=NAMES[int(rng.integers(len(NAMES)))],
                start=start,
                end=start + length,
                loudness=float(loudness),
                final=float(final),
                pitch=float(2 ** rng.uniform(-0.25, 0.25)),
                seed=int(rng.integers(2**31)),
            )
        )
    return Soundtrack(noises=tuple(noises), ticks=ticks, seed=int(rng.integers(2**31)))


def window_of(sound: np.ndarray, preprocess: SoundPreprocess) -> np.ndarray:
    """Return the first window of a sound, [frames, bins]."""
    window: np.ndarray = sound_windows(sound, preprocess)[0][0]
    return window


def heard_window(track: Soundtrack, recipe: ASTRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectrogram of a track [frames, bins], and which sounds each moment has [T, names]."""
    waves = list(waves_of(track))
    samples = recipe.patch * recipe.preprocess.hop
    moments = recipe.frames // recipe.patch
    sounding = np.zeros((moments, len(NAMES)), np.float32)
    for event, start, wave in waves:
        padded = np.zeros(moments * samples, np.float32)
        kept = wave[: max(0, len(padded) - start)]
        padded[start : start + len(kept)] = np.abs(kept)
        loud = padded.reshape(moments, samples).max(1) > AUDIBLE
        near = np.convolve(loud, np.ones(2 * GAPS + 1), "same") > 0
        sounding[near, NAMES.index(event.name)] = 1
    return window_of(mix(track, waves), recipe.preprocess), sounding


def build_ast(folder: Path, recipe: ASTRecipe, *, seed: int, progress: Progress | None = None) -> dict[str, float]:
    """Train and write the AST with its feature extractor. Returns how well it names what is heard in held-out films."""
    with seeded(seed):
        model = SoundNaming(new_ast(recipe), recipe)

    def loss_at(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 6, step))
        films = recipe.batch // 2
        tracks = [_film_track(int(index), seed) for index in rng.integers(recipe.held_out, 2**31, size=films)]
        tracks += [practice_track(rng) for _ in range(recipe.batch - films)]
        windows, sounding = (
            np.stack(each) for each in zip(*(heard_window(each, recipe) for each in tracks), strict=True)
        )
        moments = torch.from_numpy(sounding)
        by_moment, by_film = model(torch.from_numpy(windows))
        each = F.binary_cross_entropy_with_logits(by_moment, moments)
        return each + F.binary_cross_entropy_with_logits(by_film, moments.amax(1))

    losses = learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    tracks = [_film_track(index, seed) for index in range(recipe.held_out)]
    report = {name: round(value, 4) for name, value in measure_naming(model, tracks, recipe).items()}
    model.ast.half().save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=recipe.bins, max_length=recipe.frames).save_pretrained(folder)
    return report | {"loss": float(np.mean(losses[-100:])), "tracks": recipe.batch * recipe.course.steps}


def _film_track(index: int, seed: int) -> Soundtrack:
    """Draw the soundtrack of a film, of a silent one too: its noises are none, and the AST hears a microphone."""
    track = soundtrack_at(CORPUS, "train", index, seed=seed)
    assert track.ticks == SECONDS * FPS * TICKS
    return track


def measure_naming(model: SoundNaming, tracks: Sequence[Soundtrack], recipe: ASTRecipe) -> dict[str, float]:
    """Return shares: of sounds that are named those that are heard, of those that are heard the named ones, and of
    films that sound those whose likeliest sound is heard."""
    named, heard = [], []
    with torch.no_grad():
        for track in tracks:
            window, _ = heard_window(track, recipe)
            named.append(model(torch.from_numpy(window)[None])[1][0].numpy())
            heard.append([name in track.heard for name in NAMES])
    return naming_scores(np.array(named), np.array(heard))


def naming_scores(logits: np.ndarray, heard: np.ndarray) -> dict[str, float]:
    named, sounding = logits > 0, heard.any(1)
    right = (named & heard).sum()
    likeliest = heard[np.arange(len(heard)), logits.argmax(1)]
    return {
        "precision": float(right / max(1, named.sum())),
        "recall": float(right / max(1, heard.sum())),
        "likeliest is heard": float(likeliest[sounding].mean()) if sounding.any() else 0.0,
    }
