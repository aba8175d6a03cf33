"""The zoo's TimeSformer: it has learned to name action, actor, patient and ground in clips, and what each patch does.

It begins with the zoo's eye, as the published one with ImageNet's, and as a K400 encoder it never saw a caption. The
heads of whole clips read what adapters will read, the pooled memory; all heads are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from multiprocessing.pool import ThreadPool
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
from pseudocap.toyworld.corpora import film_at
from pseudocap.types import Progress
from pseudocap.video.decode import open_video
from pseudocap.zoo.patches import PatchAnswers, PatchHeads, patch_answers
from pseudocap.zoo.train_loop import Course, learn
from pseudocap.zoo.vit import MEAN, STD, EyeRecipe, normalised, read_eye

FRAMES = 8
QUERIES = {"action": 0, "actor": 1, "patient": 2, "background": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """So many steps with clips of so many frames."""

    frames: int
    batch: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WatcherRecipe:
    """Its size is the eye's. A few frames first, which cost less."""

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
    """The encoder, and one query for each thing asked, which looks at the whole memory."""

    def __init__(self, encoder: TimeSformer, classes: Mapping[str, int]) -> None:
        super().__init__()
        width = encoder.config.width
        self.encoder = encoder
        self.queries = nn.Parameter(0.02 * torch.randn(len(QUERIES), width))
        self.attention = nn.MultiheadAttention(width, encoder.config.heads, batch_first=True)
        self.patches = PatchHeads(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})

    def forward(self, features_BTSE: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is said of whole clips, from what the encoder makes of them."""
        memory = pool(features_BTSE)
        tokens_BNE = torch.cat([memory.time, memory.space], dim=1)
        queries_BQE = self.queries.expand(len(tokens_BNE), -1, -1)
        seen_BQE = queries_BQE + self.attention(queries_BQE, tokens_BNE, tokens_BNE, need_weights=False)[0]
        return {name: head(seen_BQE[:, QUERIES[name.partition(" ")[0]]]) for name, head in self.heads.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Clips:
    """Decoded clips [N, 8, H, W, 3] uint8, for each question the class of every clip, and what every patch shows."""

    frames: np.ndarray
    labels: dict[str, np.ndarray]
    answers: PatchAnswers  # with an axis of clips before the others

    def __len__(self) -> int:
        return len(self.frames)


def asked(label: Mapping[str, Any]) -> dict[str, str]:
    """The questions about a line of labels.jsonl, with their answers as text."""
    answers = {"action": f"{label['action']} {label['direction']}".strip(), "background": label["background"]}
    for role in ("actor", "patient"):
        for key in ("kind", "colour", "material", "size"):
            answers[f"{role} {key}"] = label[role][key] if label[role] else "none"
    return answers


def read_clips(
    corpus: Path, store: Path, *, grid: int, seed: int, progress: Progress | None = None
) -> tuple[dict[str, Clips], dict[str, int]]:
    """Every clip decoded once; the pixels lie in `store` (.npy), so that memory holds only what is used."""
    rows = [json.loads(line) for line in (corpus / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = [asked(row) for row in rows]
    words = {name: sorted({each[name] for each in answers}) for name in answers[0]}
    labels = {
        name: np.array([words[name].index(each[name]) for each in answers], dtype=np.int64) for name in answers[0]
    }
    frames = _decoded([corpus / "videos" / row["video"] for row in rows], store, progress)
    clips = {}
    for split in ("train", "val"):
        places = np.array([place for place, row in enumerate(rows) if row["split"] == split])
        clips[split] = Clips(
            frames=frames[places[0] : places[-1] + 1],
            labels={name: values[places] for name, values in labels.items()},
            answers=_patch_answers(split, len(places), grid, seed),
        )
    return clips, {name: len(each) for name, each in words.items()}


def _patch_answers(split: str, count: int, grid: int, seed: int) -> PatchAnswers:
    """Of the very frames that `frames_evenly` gives: those at the middles of equal parts."""
    answers = []
    for place in range(count):
        film = film_at("clips", split, place, seed=seed)
        frames = [int((number + 0.5) * film.frames / FRAMES) for number in range(FRAMES)]
        answers.append(patch_answers(film, frames, grid))
    parts = {each.name: np.stack([getattr(answer, each.name) for answer in answers]) for each in fields(PatchAnswers)}
    return PatchAnswers(**parts)


def _decoded(paths: list[Path], store: Path, progress: Progress | None) -> np.ndarray:
    if store.is_file():
        return np.load(store, mmap_mode="r")
    first = _spread(paths[0])
    with unfinished(store) as scratch, ThreadPool(2) as threads:
        frames = np.lib.format.open_memmap(scratch, "w+", dtype=np.uint8, shape=(len(paths), *first.shape))
        for place, clip in enumerate(threads.imap(_spread, paths, chunksize=16)):
            frames[place] = clip
            if progress is not None:
                progress(place + 1, len(paths))
        frames.flush()
    return np.load(store, mmap_mode="r")


def _spread(path: Path) -> np.ndarray:
    with open_video(path, threads=1) as video:
        return video.frames_evenly(FRAMES).pixels


def build_watcher(
    folder: Path,
    corpus: Path,
    eye: Path,
    eyes: EyeRecipe,
    recipe: WatcherRecipe,
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train on the labelled clips and write the TimeSformer. Returns how often it is right on held-out clips."""
    grid = eyes.size // eyes.patch
    clips, classes = read_clips(corpus, folder / "clips.npy", grid=grid, seed=seed, progress=progress)
    values, state = inflate(read_eye(eye, eyes), num_frames=FRAMES, mean=[MEAN] * 3, std=[STD] * 3, source=str(eye))
    config = TimeSformerConfig(**values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Recogniser(TimeSformer.from_state(config, state, source=eye), classes)

    train = clips["train"]

    def loss_at(step: int) -> torch.Tensor:
        lesson = recipe.lesson(step)
        rng = np.random.default_rng((seed, 2, step))
        places = np.sort(rng.integers(len(train), size=lesson.batch))
        chosen = np.ix_(places, _some_frames(lesson.frames, rng))
        features = model.encoder(normalised(train.frames[chosen]))
        said = model(features)
        answers = {name: torch.from_numpy(values[places]) for name, values in train.labels.items()}
        shown = train.answers
        losses = {name: F.cross_entropy(said[name], answers[name]) for name in answers}
        whole = torch.stack([*losses.values()]).mean() + 0.3 * losses["action"]
        patches = model.patches.loss(features, shown.kinds[chosen], shown.colours[chosen])
        return whole + patches + 3 * model.patches.change_loss(features, shown.things[chosen], shown.poses[chosen])

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    report = {f"{name} right": share for name, share in _tested(model, clips["val"])}
    encoder = model.encoder.half()
    encoder.save_pretrained(folder)
    return report


def _some_frames(count: int, rng: np.random.Generator) -> np.ndarray:
    """Of the clip's frames so many, evenly, from a drawn one on."""
    step = FRAMES // count
    return int(rng.integers(step)) + step * np.arange(count)


def _tested(model: Recogniser, clips: Clips) -> Iterator[tuple[str, float]]:
    right: dict[str, list[np.ndarray]] = {name: [] for name in clips.labels}
    patches = []
    with torch.no_grad():
        for first in range(0, len(clips), 32):
            part = slice(first, first + 32)
            features = model.encoder(normalised(clips.frames[part]))
            said = model(features)
            for name, answers in clips.labels.items():
                right[name].append(said[name].argmax(-1).numpy() == answers[part])
            patches.append(model.patches.right(features, clips.answers.kinds[part]))
    for name, found in right.items():
        yield name, float(np.concatenate(found).mean())
    yield "patch kind", float(np.mean(patches))
