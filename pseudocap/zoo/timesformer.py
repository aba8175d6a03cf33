"""Train the zoo's TimeSformer to name action, actor, patient and ground in clips, and what each patch does.

It begins with the zoo's ViT, as the published one with ImageNet's, and as a K400 encoder it never saw a caption. The
heads of complete clips read what adapters will read, the pooled memory; all heads are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.files.atomic import unfinished
from pseudocap.model.encoders.base import pool
from pseudocap.model.encoders.convert import inflate
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
from pseudocap.model.network import seeded
from pseudocap.toyworld.corpora import film_at
from pseudocap.types import Progress
from pseudocap.video.decode import open_video
from pseudocap.workers import Pool
from pseudocap.zoo.patches import PatchAnswers, PatchHeads, patch_answers
from pseudocap.zoo.train_loop import Course, learn
from pseudocap.zoo.vit import MEAN, STD, ViTRecipe, normalised, read_vit

FRAMES = 8
QUERIES = {"action": 0, "actor": 1, "patient": 2, "background": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """Set so many steps with clips of so many frames."""

    frames: int
    batch: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSformerRecipe:
    """Set the lessons; the size is the ViT's. A few frames first, which cost less."""

    lessons: tuple[Lessons, ...] = (Lessons(frames=4, batch=24, steps=1000), Lessons(frames=8, batch=16, steps=1200))
    lr: float = 1e-3

    @property
    def course(self) -> Course:
        return Course(steps=sum(each.steps for each in self.lessons), lr=self.lr, warmup=100)

    def lesson(self, step: int) -> Lessons:
        for each in self.lessons:
            if step < each.steps:
                return each
            step -= each.steps
        return self.lessons[-1]


class Recogniser(nn.Module):
    """Classify clips: the encoder, and one query for each question, which attends to the complete memory."""

    def __init__(self, encoder: TimeSformer, classes: Mapping[str, int]) -> None:
        super().__init__()
        width = encoder.config.width
        self.encoder = encoder
        self.queries = nn.Parameter(0.02 * torch.randn(len(QUERIES), width))
        self.attention = nn.MultiheadAttention(width, encoder.config.heads, batch_first=True)
        self.patches = PatchHeads(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})

    def forward(self, features_BTSE: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of complete clips, from the features of the encoder."""
        memory = pool(features_BTSE)
        tokens_BNE = torch.cat([memory.time, memory.space], dim=1)
        queries_BQE = self.queries.expand(len(tokens_BNE), -1, -1)
        seen_BQE = queries_BQE + self.attention(queries_BQE, tokens_BNE, tokens_BNE, need_weights=False)[0]
        return {name: head(seen_BQE[:, QUERIES[name.partition(" ")[0]]]) for name, head in self.heads.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Clips:
    """Hold decoded clips [N, 8, H, W, 3] uint8, for each question the class of every clip, and the patches' answers."""

    frames: np.ndarray
    labels: dict[str, np.ndarray]
    answers: PatchAnswers  # with an axis of clips before the others

    def __len__(self) -> int:
        return len(self.frames)


def questions_of(label: Mapping[str, Any]) -> dict[str, str]:
    """Return the questions about a line of labels.jsonl, with their answers as text."""
    answers = {"action": f"{label['action']} {label['direction']}".strip(), "background": label["background"]}
    for role in ("actor", "patient"):
        for key in ("kind", "colour", "material", "size"):
            answers[f"{role} {key}"] = label[role][key] if label[role] else "none"
    return answers


def read_clips(
    corpus: Path, store: Path, *, grid: int, seed: int, progress: Progress | None = None
) -> tuple[dict[str, Clips], dict[str, int]]:
    """Decode every clip once; the pixels lie in `store` (.npy), so that memory holds only what is used."""
    rows = [json.loads(line) for line in (corpus / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = [questions_of(row) for row in rows]
    words = {name: sorted({each[name] for each in answers}) for name in answers[0]}
    labels = {
        name: np.array([words[name].index(each[name]) for each in answers], dtype=np.int64) for name in answers[0]
    }
    frames = _decoded([corpus / "videos" / row["video"] for row in rows], store, progress)
    clips = {}
    for split in ("train", "val"):
        rows_of_split = np.array([index for index, row in enumerate(rows) if row["split"] == split])
        clips[split] = Clips(
            frames=frames[rows_of_split[0] : rows_of_split[-1] + 1],
            labels={name: values[rows_of_split] for name, values in labels.items()},
            answers=_patch_answers(split, len(rows_of_split), grid, seed),
        )
    return clips, {name: len(each) for name, each in words.items()}


def _patch_answers(split: str, count: int, grid: int, seed: int) -> PatchAnswers:
    """Answer for the very frames that `frames_evenly` gives: those at the middles of equal parts."""
    answers = []
    for index in range(count):
        film = film_at("clips", split, index, seed=seed)
        frames = [int((number + 0.5) * film.frames / FRAMES) for number in range(FRAMES)]
        answers.append(patch_answers(film, frames, grid))
    parts = {each.name: np.stack([getattr(answer, each.name) for answer in answers]) for each in fields(PatchAnswers)}
    return PatchAnswers(**parts)


def _decoded(paths: list[Path], store: Path, progress: Progress | None) -> np.ndarray:
    if store.is_file():
        return np.load(store, mmap_mode="r")
    first = _spread(paths[0])
    with unfinished(store) as scratch, Pool(0, _spread) as threads:
        frames = np.lib.format.open_memmap(scratch, "w+", dtype=np.uint8, shape=(len(paths), *first.shape))
        for index, clip in enumerate(threads.ordered(paths)):
            frames[index] = clip
            if progress is not None:
                progress(index + 1, len(paths))
        frames.flush()
    return np.load(store, mmap_mode="r")


def _spread(path: Path) -> np.ndarray:
    with open_video(path, threads=1) as video:
        return video.frames_evenly(FRAMES).pixels


def build_timesformer(
    folder: Path,
    corpus: Path,
    weights: Path,
    vit: ViTRecipe,
    recipe: TimeSformerRecipe,
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train on the labelled clips and write the TimeSformer. Returns how often it is right on held-out clips."""
    grid = vit.size // vit.patch
    clips, classes = read_clips(corpus, folder / "clips.npy", grid=grid, seed=seed, progress=progress)
    values, state = inflate(
        read_vit(weights, vit), num_frames=FRAMES, mean=[MEAN] * 3, std=[STD] * 3, source=str(weights)
    )
    config = TimeSformerConfig(**values)
    with seeded(seed):
        model = Recogniser(TimeSformer.from_state(config, state, source=weights), classes)

    train = clips["train"]

    def loss_at(step: int) -> torch.Tensor:
        lesson = recipe.lesson(step)
        rng = np.random.default_rng((seed, 2, step))
        indices = np.sort(rng.integers(len(train), size=lesson.batch))
        chosen = np.ix_(indices, _some_frames(lesson.frames, rng))
        features = model.encoder(normalised(train.frames[chosen]))
        logits = model(features)
        answers = {name: torch.from_numpy(values[indices]) for name, values in train.labels.items()}
        patches = train.answers
        losses = {name: F.cross_entropy(logits[name], answers[name]) for name in answers}
        clip_loss = torch.stack([*losses.values()]).mean() + 0.3 * losses["action"]
        patch_loss = model.patches.loss(features, patches.kinds[chosen], patches.colours[chosen])
        change_loss = model.patches.change_loss(features, patches.things[chosen], patches.poses[chosen])
        return clip_loss + patch_loss + 3 * change_loss

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    report = {f"{name} right": share for name, share in _tested(model, clips["val"])}
    encoder = model.encoder.half()
    encoder.save_pretrained(folder)
    return report


def _some_frames(count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose so many of the clip's frames, evenly, from a drawn one on."""
    step = FRAMES // count
    return int(rng.integers(step)) + step * np.arange(count)


def _tested(model: Recogniser, clips: Clips) -> Iterator[tuple[str, float]]:
    right: dict[str, list[np.ndarray]] = {name: [] for name in clips.labels}
    patches = []
    with torch.no_grad():
        for first in range(0, len(clips), 32):
            part = slice(first, first + 32)
            features = model.encoder(normalised(clips.frames[part]))
            logits = model(features)
            for name, answers in clips.labels.items():
                right[name].append(logits[name].argmax(-1).numpy() == answers[part])
            patches.append(model.patches.right(features, clips.answers.kinds[part]))
    for name, found in right.items():
        yield name, float(np.concatenate(found).mean())
    yield "patch kind", float(np.mean(patches))
