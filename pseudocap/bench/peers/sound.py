"""Probe frozen audio encoders with a linear classifier of sounds: `pseudocap bench sound`.

A folder of labelled sounds in folds (ESC-10) is encoded once, as memories of sound alone. Each clip is the mean of its
vectors on the axis `sound`; a logistic regression learns four folds and is tested on the fifth, five times over. Its
weight decay is the best of WEIGHT_DECAYS on one of the four folds, learned without it. Beside the encoders stand the
mean of the log-mel itself, and chance. Clips of one recording share a fold, so intervals are Student's over the folds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pseudocap.audio.spectrogram import log_mel
from pseudocap.audio.waveform import read_sound
from pseudocap.bench.claims.certainty import mean_over_seeds
from pseudocap.bench.machine import machine
from pseudocap.bench.tables import table
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, first_line
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.types import CaptionedVideo, Progress

LABELS = "labels.jsonl"
LOG_MEL, CHANCE = "mean of the log-mel", "chance"
WEIGHT_DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSound:
    """Hold one sound of a data set: its file, its class and its fold."""

    path: Path
    label: str
    fold: int


def read_labelled(folder: Path) -> list[LabelledSound]:
    """Read labels.jsonl, a line `{"audio", "label", "fold"}` for each sound beside it."""
    path = folder / LABELS
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        sounds = [LabelledSound(path=folder / row["audio"], label=row["label"], fold=int(row["fold"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} lists no sounds with audio, label and fold: {first_line(error)}") from error
    if missing := [each.path.name for each in sounds if not each.path.is_file()]:
        raise DataError(f"{folder} lacks {len(missing)} of the sounds of {LABELS}, such as {missing[0]}")
    if len({each.fold for each in sounds}) < 3:
        raise DataError(f"{path} needs three folds or more: to learn, to choose the weight decay and to test")
    return sounds


def heard_features(
    sounds: Sequence[LabelledSound], encoder: AudioEncoder, out: Path, *, workers: int, progress: Progress | None = None
) -> np.ndarray:
    """Return the mean of each sound's vectors [N,E]; they are stored in a folder of memories, which resumes."""
    rows = [
        CaptionedVideo(id=each.path.name, video=each.path.name, captions=(each.label,), split="") for each in sounds
    ]
    source = RowSource(rows, VideoFolder(sounds[0].path.parent), None, sound=encoder.preprocess)
    spec = MemorySpec(
        encoder="",
        preprocess=None,
        axes=encoder.axes,
        audio_encoder=encoder.fingerprint,
        sound=encoder.preprocess,
        storage="float16",
    )
    encode(
        source, None, out, spec, audio_encoder=encoder, batch_size=8, shard_size=64, workers=workers, progress=progress
    )
    memories = MemorySource(out)
    found = [memories.memory(memories.find(each.path.name)).axes["sound"].vectors[0].mean(dim=0) for each in sounds]
    return torch.stack(found).numpy()


def log_mel_features(sounds: Sequence[LabelledSound]) -> np.ndarray:
    """Return the mean over time of each sound's log-mel [N,128]."""
    return np.stack([log_mel(read_sound(each.path), frames=None).mean(axis=0) for each in sounds])


def probe(features: np.ndarray, sounds: Sequence[LabelledSound]) -> list[float]:
    """Return the share of right answers in each fold, learned from the others."""
    names = sorted({each.label for each in sounds})
    labels = torch.tensor([names.index(each.label) for each in sounds])
    folds = torch.tensor([each.fold for each in sounds])
    values = torch.from_numpy(features).double()
    shares = []
    numbers = sorted(set(folds.tolist()))
    for index, tested in enumerate(numbers):
        chosen_on = numbers[(index + 1) % len(numbers)]
        learned = (folds != tested) & (folds != chosen_on)
        choices = {
            decay: _share(values, labels, learned, folds == chosen_on, decay, len(names)) for decay in WEIGHT_DECAYS
        }
        best = max(choices, key=lambda decay: choices[decay])
        shares.append(_share(values, labels, folds != tested, folds == tested, best, len(names)))
    return shares


def _share(
    values: torch.Tensor, labels: torch.Tensor, learned: torch.Tensor, tested: torch.Tensor, decay: float, classes: int
) -> float:
    """Learn a logistic regression of standardised features, and return its share of right answers."""
    mean, std = values[learned].mean(dim=0), values[learned].std(dim=0).clamp(min=1e-6)
    scaled = (values - mean) / std
    weight = torch.zeros(values.shape[1], classes, dtype=values.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=values.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(scaled[learned] @ weight + bias, labels[learned])
        loss = loss + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        answers = (scaled[tested] @ weight + bias).argmax(dim=1)
    return float((answers == labels[tested]).double().mean())


def probe_document(
    sounds: Sequence[LabelledSound], features: Mapping[str, np.ndarray], *, command: str
) -> dict[str, Any]:
    """Probe each of the features, and return what the result file holds."""
    results = {}
    for name, values in features.items():
        shares = probe(values, sounds)
        mean, interval = mean_over_seeds(shares)
        assert interval is not None, "there are several folds"
        results[name] = {"accuracy": mean, "low": interval.low, "high": min(interval.high, 1.0), "folds": shares}
    counts = Counter(each.label for each in sounds)
    return {
        "command": command,
        "sounds": len(sounds),
        "classes": len(counts),
        "chance": max(counts.values()) / len(sounds),
        "results": results,
        "machine": machine(),
    }


def probe_table(document: Mapping[str, Any]) -> str:
    """Return the result as Markdown: right answers in percent."""
    rows = [
        (
            name,
            f"{100 * each['accuracy']:.1f} ({100 * each['low']:.1f} to {100 * each['high']:.1f})",
            ", ".join(f"{100 * share:.1f}" for share in each["folds"]),
        )
        for name, each in document["results"].items()
    ]
    rows.append((CHANCE, f"{100 * document['chance']:.1f}", ""))
    head = f"{document['sounds']} sounds of {document['classes']} classes"
    return table((head, "right of 100 (95 % over folds)", "fold by fold"), rows)
