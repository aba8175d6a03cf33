"""What the zoo's captioners are held against: their own blindness, one frame, the order of time, people, the scene.

A captioner is scored on the test films as they are, on a zeroed memory (what the language alone gives), on the centre
frame, on the frames run backwards and shuffled (does it use time?), and its captions are judged by the exact scenes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pseudocap.captioner import PseudoCap
from pseudocap.label.schema import read_labels
from pseudocap.memory import Memory
from pseudocap.metrics.measures import METRICS
from pseudocap.metrics.references import References
from pseudocap.metrics.suite import score
from pseudocap.model.encoders.timesformer import TimeSformer
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.grammar import full_truth
from pseudocap.toyworld.scenes import FPS, Shot
from pseudocap.toyworld.truth import Verdict, judge, shots_between
from pseudocap.types import Preprocess
from pseudocap.video.watch import batched, watch_file

BATCH = 50
VIEWS = "views.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """A film of the MSR-VTT-like test split, with what people say of it and what it shows."""

    key: str
    path: Path
    references: tuple[str, ...]
    shots: tuple[Shot, ...]


def held_out_films(root: Path, seed: int) -> list[HeldOut]:
    """In the order of the corpus, which is that of their places."""
    lines = (root / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    return [
        HeldOut(
            key=row["video"],
            path=root / "world" / "msrvtt" / "videos" / f"{row['video']}.mp4",
            references=tuple(row["caption"]),
            shots=film_at("msrvtt", "test", place, seed=seed).shots,
        )
        for place, row in enumerate(rows)
    ]


# How a film may be shown

Show = Callable[[torch.Tensor], torch.Tensor]  # frames [T,3,H,W] to the frames that are watched
SHOWN: dict[str, Show] = {
    "as it is": lambda frames: frames,
    "centre frame": lambda frames: frames[[len(frames) // 2]],
    "reversed": lambda frames: frames.flip(0),
    "shuffled": lambda frames: frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))],
}


def watch_held_out(folder: Path, root: Path, encoder: Path, seed: int) -> dict[str, Any]:
    """Encode every test film in each way of showing it; all captioners share the encoder, so once is enough."""
    return watch_films(folder, held_out_films(root, seed), TimeSformer.from_pretrained(encoder))


def watch_films(
    folder: Path, films: Sequence[HeldOut], watcher: TimeSformer, *, size: int | None = None, patches: bool = False
) -> dict[str, Any]:
    """Films in each way of showing them, batch by batch, into `views.safetensors`; with `patches` every patch of them,
    in float16, as memories to learn from are stored."""
    config = watcher.config
    preprocess = Preprocess(
        size=size or config.image_size,
        mean=config.mean,  # type: ignore[arg-type]
        std=config.std,  # type: ignore[arg-type]
        frames=config.num_frames,
    )
    device = next(watcher.parameters()).device
    tensors: dict[str, list[torch.Tensor]] = {}
    for batch in batched((watch_file(film.path, preprocess) for film in films), BATCH):
        moving = [clip.expand(preprocess.frames, -1, -1, -1) for clip in batch]  # a still film has a single frame
        for name, show in SHOWN.items():
            shown = torch.stack([show(clip) for clip in moving]).to(device)
            memory = watcher.encode(shown, patches=patches).to("cpu")
            tensors.setdefault(f"{name}/time", []).append(memory.time)
            tensors.setdefault(f"{name}/space", []).append(memory.space)
            if memory.patches is not None:
                tensors.setdefault(f"{name}/patches", []).append(memory.patches.half())
    save_file({name: torch.cat(parts) for name, parts in tensors.items()}, folder / VIEWS)
    return {"films": len(films), "shown": list(SHOWN)}


def measure_captioner(folder: Path, root: Path, seed: int) -> dict[str, Any]:
    """Captions of the test films in every way of showing them, their scores, and how many are true."""
    model = PseudoCap.from_pretrained(folder, device="cpu")
    films = held_out_films(root, seed)
    views = load_file(root / "views" / VIEWS)
    references = References({film.key: film.references for film in films})
    found: dict[str, Any] = {}
    for name in (*SHOWN, "blind"):
        captions = dict(zip((film.key for film in films), captions_of(model, views, name), strict=True))
        samples = 1000 if name == "as it is" else 0
        scores = score(predictions=captions, references=references, bootstrap=samples)
        found[name] = {metric: round(value, 2) for metric, value in scores.items()}
        if name == "as it is":
            found["intervals"] = {
                metric: [round(each.low, 2), round(each.high, 2)] for metric, each in scores.intervals.items()
            }
            found["truth"] = truth([judge(captions[film.key], film.shots) for film in films])
            found["distinct captions"] = len(set(captions.values()))
            found["examples"] = {film.key: captions[film.key] for film in films[:8]}
    return found


def captions_of(model: PseudoCap, views: Mapping[str, torch.Tensor], name: str) -> Iterator[str]:
    shown = "as it is" if name == "blind" else name
    time, space = views[f"{shown}/time"], views[f"{shown}/space"]
    patches = views.get(f"{shown}/patches") if model.config.needs_patches else None
    if name == "blind":
        time, space = torch.zeros_like(time), torch.zeros_like(space)
        patches = None if patches is None else torch.zeros_like(patches)
    for first in range(0, len(time), BATCH):
        part = slice(first, first + BATCH)
        memory = Memory.of_sight(
            time=time[part],
            space=space[part],
            patches=None if patches is None else patches[part],
        )
        yield from model.decode(model.generate(memory, max_new_tokens=32))


def truth(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares of captions, in per cent: all of a caption right; its things; what is wrong in the others."""
    count = max(1, len(verdicts))

    def share(of: Callable[[Verdict], object]) -> float:
        return round(100 * sum(bool(of(each)) for each in verdicts) / count, 1)

    return {
        "correct": share(lambda each: each.correct),
        "things and colours right": share(lambda each: each.things_right),
        "names a thing that is not there": share(lambda each: each.wrong_things),
        "wrong colour": share(lambda each: each.wrong_colours),
        "tells an event": share(lambda each: each.events),
        "wrong event": share(lambda each: each.wrong_events),
        "wrong way round": share(lambda each: each.wrong_ways),
    }


def yardsticks(root: Path, seed: int) -> dict[str, Any]:
    """What people reach against one another, and what the whole truth does in the commonest words."""
    films = held_out_films(root, seed)
    rounds = []
    for who in range(0, 20, 4):
        others = {film.key: film.references[:who] + film.references[who + 1 :] for film in films}
        rounds.append(score(predictions={film.key: film.references[who] for film in films}, references=others))
    told = {film.key: full_truth(film_at("msrvtt", "test", place, seed=seed)) for place, film in enumerate(films)}
    whole = score(predictions=told, references={film.key: film.references for film in films})
    people = {metric: round(float(np.mean([each[metric] for each in rounds])), 2) for metric in METRICS}
    return {"one person against the other 19": people, "the whole truth": dict(whole), "films": len(films)}


def measure_labels(run: Path, talking: Path, seed: int) -> dict[str, Any]:
    """The audit that only a toy world allows: every label held against the scene that its clip shows."""
    verdicts, refers, spoken = [], 0, 0
    for label in read_labels(run):
        place = int(Path(label.clip.source).stem.removeprefix("talking"))
        film = film_at("talking", "train", place, seed=seed)
        verdicts.append(judge(label.caption, shots_between(film, label.clip.start, label.clip.end, FPS)))
    for line in (talking / "utterances.jsonl").read_text(encoding="utf-8").splitlines():
        spoken += 1
        refers += json.loads(line)["kind"] == "refers"
    return {
        "labels": len(verdicts),
        **truth(verdicts),
        "utterances that refer to the film": round(100 * refers / spoken, 1),
    }
