"""The zoo's TimeSformer: it has learned to name action, actor, patient and ground in labelled clips.

As a K400 encoder it never saw a caption. The heads read what adapters will read, the pooled memory, and are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.model.timesformer import TimeSformer, TimeSformerConfig, pool
from pseudocap.video.decode import open_video
from pseudocap.zoo.learning import Course, Progress, learn

FRAMES = 8
SHIFT = 4  # pixels that a clip is moved by, at most: the same for all its frames
QUERIES = {"action": 0, "actor": 1, "patient": 2, "background": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """So many steps with clips of so many frames."""

    frames: int
    batch: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WatcherRecipe:
    """Stills first: what things are is learned from a frame, at an eighth of the cost of a clip."""

    size: int = 64
    patch: int = 8
    width: int = 128
    depth: int = 4
    heads: int = 4
    lessons: tuple[Lessons, ...] = (
        Lessons(frames=1, batch=64, steps=900),
        Lessons(frames=4, batch=24, steps=900),
        Lessons(frames=8, batch=16, steps=250),
    )
    lr: float = 1.5e-3

    @property
    def course(self) -> Course:
        return Course(steps=sum(each.steps for each in self.lessons), lr=self.lr, warmup=150)

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
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})

    def forward(self, frames_BT3HW: torch.Tensor) -> dict[str, torch.Tensor]:
        memory = pool(self.encoder(frames_BT3HW))
        tokens_BNE = torch.cat([memory.time, memory.space], dim=1)
        queries_BQE = self.queries.expand(len(tokens_BNE), -1, -1)
        seen_BQE = queries_BQE + self.attention(queries_BQE, tokens_BNE, tokens_BNE, need_weights=False)[0]
        return {name: head(seen_BQE[:, QUERIES[name.partition(" ")[0]]]) for name, head in self.heads.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Clips:
    """Decoded clips [N, 8, H, W, 3] uint8, and for each question the class of every clip."""

    frames: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.frames)


def asked(label: Mapping[str, Any]) -> dict[str, str]:
    """The questions about a line of labels.jsonl, with their answers as text."""
    answers = {"action": f"{label['action']} {label['direction']}".strip(), "background": label["background"]}
    for role in ("actor", "patient"):
        for key in ("kind", "colour", "material", "size"):
            answers[f"{role} {key}"] = label[role][key] if label[role] else "none"
    return answers


def read_clips(corpus: Path, store: Path, progress: Progress | None = None) -> tuple[dict[str, Clips], dict[str, int]]:
    """Every clip decoded once; the pixels lie in `store` (.npy), so that memory holds only what is used."""
    rows = [json.loads(line) for line in (corpus / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = [asked(row) for row in rows]
    words = {name: sorted({each[name] for each in answers}) for name in answers[0]}
    labels = {
        name: np.array([words[name].index(each[name]) for each in answers], dtype=np.int64) for name in answers[0]
    }
    frames = _decoded([corpus / "videos" / row["video"] for row in rows], store, progress)
    parts = {
        split: np.array([place for place, row in enumerate(rows) if row["split"] == split])
        for split in ("train", "val")
    }
    clips = {
        split: Clips(
            frames=frames[places[0] : places[-1] + 1], labels={name: all_[places] for name, all_ in labels.items()}
        )
        for split, places in parts.items()
    }
    return clips, {name: len(each) for name, each in words.items()}


def _decoded(paths: list[Path], store: Path, progress: Progress | None) -> np.ndarray:
    if store.is_file():
        return np.load(store, mmap_mode="r")
    first = _spread(paths[0])
    unfinished = store.with_name(f".{store.name}.unfinished")
    frames = np.lib.format.open_memmap(unfinished, "w+", dtype=np.uint8, shape=(len(paths), *first.shape))
    with ThreadPool(2) as threads:
        for place, clip in enumerate(threads.imap(_spread, paths, chunksize=16)):
            frames[place] = clip
            if progress is not None:
                progress(place + 1, len(paths))
    frames.flush()
    unfinished.replace(store)
    return np.load(store, mmap_mode="r")


def _spread(path: Path) -> np.ndarray:
    with open_video(path, threads=1) as video:
        return video.frames_evenly(FRAMES).pixels


def build_watcher(
    folder: Path, corpus: Path, recipe: WatcherRecipe, *, seed: int, progress: Progress | None = None
) -> dict[str, float]:
    """Train on the labelled clips and write the TimeSformer. Returns how often it is right on held-out clips."""
    clips, classes = read_clips(corpus, folder / "clips.npy", progress)
    config = TimeSformerConfig(
        image_size=recipe.size,
        patch_size=recipe.patch,
        num_frames=FRAMES,
        width=recipe.width,
        depth=recipe.depth,
        heads=recipe.heads,
        mlp_width=4 * recipe.width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Recogniser(TimeSformer(config), classes)

    def loss_at(step: int) -> torch.Tensor:
        lesson = recipe.lesson(step)
        rng = np.random.default_rng((seed, 2, step))
        places = np.sort(rng.integers(len(clips["train"]), size=lesson.batch))
        frames = normalised(_view(clips["train"].frames[places], lesson.frames, rng), config)
        said = model(frames)
        answers = {name: torch.from_numpy(all_[places]) for name, all_ in clips["train"].labels.items()}
        names = [name for name in answers if lesson.frames > 1 or name != "action"]
        return torch.stack([F.cross_entropy(said[name], answers[name], label_smoothing=0.05) for name in names]).mean()

    learn(model, loss_at, recipe.course, state=folder / "state.pt", progress=progress)
    report = {f"{name} right": share for name, share in _tested(model, clips["val"], config)}
    encoder = model.encoder.half()
    encoder.save_pretrained(folder)
    return report


def _view(clips_NTHWC: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the frames in their order, the whole clip moved a little."""
    count = clips_NTHWC.shape[1]
    step = count // frames
    first = int(rng.integers(step))
    chosen = clips_NTHWC[:, first::step][:, :frames] if frames > 1 else clips_NTHWC[:, [int(rng.integers(count))]]
    down, right = rng.integers(0, 2 * SHIFT + 1, size=2)
    padded = np.pad(chosen, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    height, width = chosen.shape[2:4]
    return padded[:, :, down : down + height, right : right + width]


def normalised(frames_NTHWC: np.ndarray, config: TimeSformerConfig) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(frames_NTHWC)).permute(0, 1, 4, 2, 3).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    return (pixels - mean) / std


def _tested(model: Recogniser, clips: Clips, config: TimeSformerConfig) -> Iterator[tuple[str, float]]:
    right: dict[str, list[np.ndarray]] = {name: [] for name in clips.labels}
    with torch.no_grad():
        for first in range(0, len(clips), 32):
            part = slice(first, first + 32)
            said = model(normalised(clips.frames[part], config))
            for name, answers in clips.labels.items():
                right[name].append(said[name].argmax(-1).numpy() == answers[part])
    for name, found in right.items():
        yield name, float(np.concatenate(found).mean())
