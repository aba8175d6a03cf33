"""Compare a checkpoint with its peers on the same frames of the same videos, in one run: `pseudocap bench model N`.

Quality by the same tokenisation and references, with a paired difference to the peers; seconds a clip from decoded
frames to text, turns taken in one process, one clip at a time and in batches; peak memory with the weights, on a CPU in
a process of its own for each.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pseudocap.bench.claims.report import lines_of, write_table
from pseudocap.bench.machine import machine
from pseudocap.bench.peers.peer_specs import Spec
from pseudocap.bench.peers.peers import Captioner, Ours, Pixels, load_captioner, load_or_reason
from pseudocap.bench.speed.measure import Timing, peak_memory, take_turns
from pseudocap.bench.tables import table
from pseudocap.data.corpora.base import Corpus
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import DataError, DecodeError
from pseudocap.files.atomic import write_text
from pseudocap.metrics.measures import METRICS, measure
from pseudocap.metrics.references import References
from pseudocap.metrics.resample import difference
from pseudocap.metrics.suite import Scores, score
from pseudocap.types import Progress
from pseudocap.video.decode import open_video
from pseudocap.video.tensors import batched
from pseudocap.workers import Job, Pool

SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hold what is captioned: rows of one split whose files are there."""

    corpus: Corpus
    split: str
    paths: Mapping[str, Path]
    references: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]


def find_task(corpus: Corpus, videos: Path, *, split: str, limit: int | None) -> Task:
    folder = VideoFolder(videos)
    rows = corpus.split(split).rows[:limit]
    if any(row.start is not None for row in rows):
        raise DataError(f"{corpus.name}: some rows are stretches of a video; cut them first (`pseudocap pack`)")
    found = {row.id: (row, folder.find(row)) for row in rows}
    paths = {key: path for key, (_, path) in found.items() if path is not None}
    if not paths:
        raise DataError(f"none of the {len(rows):,} videos of {corpus.name} {split} is below {videos}; see --videos")
    return Task(
        corpus=corpus,
        split=split,
        paths=paths,
        references={key: found[key][0].captions for key in paths},
        missing=tuple(key for key in found if key not in paths),
    )


def bench_model(
    task: Task,
    own: Spec,
    peers: Sequence[Spec],
    *,
    batch: int = 8,
    rounds: int = 5,
    command: str,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return the result, and everybody's captions."""
    ours = load_captioner(own)
    assert isinstance(ours, Ours), "the first is a PseudoCap"
    loaded: dict[str, Captioner] = {own.name: ours}
    absent: dict[str, str] = {}
    for spec in peers:
        captioner, reason = load_or_reason(spec)
        if captioner is None:
            absent[spec.name] = reason
        else:
            loaded[spec.name] = captioner
    captions, undecodable, few = _captioned(task, loaded, ours.frames, batch=batch, progress=progress)
    seen = {key: texts for key, texts in task.references.items() if key not in undecodable}
    worth = _worth(loaded, captions, References(seen), own.name)
    costs = _costs(loaded, {spec.name: spec for spec in (own, *peers)}, few, rounds=rounds)
    rows: list[dict[str, Any]] = [
        {"name": name, "parameters": captioner.parameters, **worth[name], **costs[name]}
        for name, captioner in loaded.items()
    ]
    rows += [
        {"name": name, "quality": f"not computed: {reason}", "cost": "not computed"} for name, reason in absent.items()
    ]
    document = {
        "command": command,
        **machine(),
        "data": task.corpus.provenance(),
        "split": task.split,
        "coverage": {"scored": len(seen), "missing": list(task.missing), "undecodable": undecodable},
        "decoding": {"beams": 1, "max_new_tokens": own.max_new_tokens},
        "frames": ours.frames,
        "batch": len(few),
        "rounds": rounds,
        "models": rows,
    }
    return document, captions


def _captioned(
    task: Task, loaded: Mapping[str, Captioner], frames: int, *, batch: int, progress: Progress
) -> tuple[dict[str, dict[str, str]], dict[str, str], list[Pixels]]:
    """Decode every video once and caption it by all; the first batch is kept to be timed."""
    captions: dict[str, dict[str, str]] = {name: {} for name in loaded}
    undecodable: dict[str, str] = {}
    few: list[Pixels] = []
    for keys in batched(task.paths, batch):
        clips: dict[str, Pixels] = {}
        for key in keys:
            try:
                with open_video(task.paths[key]) as video:
                    clips[key] = video.frames_evenly(frames).pixels
            except DecodeError as error:
                undecodable[key] = str(error)
        if clips:
            few = few or list(clips.values())
            for name, captioner in loaded.items():
                if not captioner.unscored:
                    captions[name] |= zip(clips, captioner.caption(list(clips.values())), strict=True)
        progress(len(captions[next(iter(loaded))]) + len(undecodable), len(task.paths))
    if not few:
        raise DataError(f"none of the {len(task.paths):,} videos can be decoded: {next(iter(undecodable.values()))}")
    return captions, undecodable, few


def _worth(
    loaded: Mapping[str, Captioner], captions: Mapping[str, Mapping[str, str]], references: References, own: str
) -> dict[str, dict[str, Any]]:
    scores = {
        name: score(predictions=captions[name], references=references, metrics=METRICS, bootstrap=SAMPLES)
        for name, captioner in loaded.items()
        if not captioner.unscored
    }
    return {
        name: {"quality": _quality(scores.get(name), captioner.unscored), "less ours": _against(scores, name, own)}
        for name, captioner in loaded.items()
    }


def _costs(
    loaded: Mapping[str, Captioner], specs: Mapping[str, Spec], few: Sequence[Pixels], *, rounds: int
) -> dict[str, dict[str, Any]]:
    each = {
        name: partial(_caption_next, peer, itertools.cycle([[clip] for clip in few])) for name, peer in loaded.items()
    }
    together = {name: partial(_caption_next, peer, itertools.repeat(few)) for name, peer in loaded.items()}
    single, many = take_turns(each, rounds=rounds), take_turns(together, rounds=rounds)
    return {
        name: {
            "seconds a clip": {"one by one": _seconds(single[name], 1), "in a batch": _seconds(many[name], len(few))},
            "peak MiB": round(_peak(specs[name], few), 1),
        }
        for name in loaded
    }


def _caption_next(captioner: Captioner, batches: Iterator[Sequence[Pixels]]) -> None:
    captioner.caption(next(batches))
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _seconds(timing: Timing, clips: int) -> dict[str, float]:
    return {name: round(getattr(timing, name) / clips, 4) for name in ("median", "fastest", "slowest")}


def _quality(scores: Scores | None, reason: str) -> dict[str, Any] | str:
    if scores is None:
        return f"not computed: {reason}"
    return {
        name: {"value": round(value, 2), "interval": [round(spread.low, 2), round(spread.high, 2)]}
        for name, value in scores.items()
        if (spread := scores.intervals[name])
    }


def _against(scores: Mapping[str, Scores], name: str, own: str) -> dict[str, Any] | None:
    if name == own or name not in scores or "CIDEr-D" not in scores[name]:
        return None
    rows = (scores[each].rows["CIDEr-D"] for each in (name, own))
    found = difference(measure("CIDEr-D"), *rows, samples=SAMPLES, seed=0)
    interval = [round(found.interval.low, 2), round(found.interval.high, 2)]
    return {"CIDEr-D": round(found.value, 2), "interval": interval, "p": round(found.p, 4)}


def _peak(spec: Spec, few: Sequence[Pixels]) -> float:
    """Measure MiB of the weights and of captioning one batch."""
    if spec.device.startswith("cuda"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(spec.device)
        torch.cuda.reset_peak_memory_stats(spec.device)
        load_captioner(spec).caption(few)
        return float(torch.cuda.max_memory_allocated(spec.device) - before) / 2**20
    with Pool(1) as alone:
        return float(alone.result(Job((_peak_here, spec, few))))


def _peak_here(spec: Spec, few: Sequence[Pixels]) -> float:
    return peak_memory(lambda: load_captioner(spec).caption(few))


def write_model(out: Path, document: Mapping[str, Any], captions: Mapping[str, Mapping[str, str]]) -> list[Path]:
    write_text(out / "captions.json", json.dumps(captions, indent=1, ensure_ascii=False) + "\n")
    return [out / "captions.json", *write_table(out, model_table(document), document)]


def model_table(document: Mapping[str, Any]) -> list[str]:
    seen, batch = document["coverage"], document["batch"]
    text = (
        f"{seen['scored']:,} videos of {document['data']['corpus']} {document['split']}, {document['frames']} frames "
        f"each, greedy decoding, on {document['device']}; intervals of 95 % over videos."
    )
    if seen["missing"] or seen["undecodable"]:
        absent, broken = len(seen["missing"]), len(seen["undecodable"])
        text += f"\n**Left out**: {absent} videos that are not there, {broken} that cannot be decoded."
    rows, differences = [], []
    for each in document["models"]:
        if "parameters" not in each:
            rows.append((each["name"], "", each["quality"], "", "", "", "", "not computed"))
            continue
        quality = each["quality"]
        cells = [quality, "", ""]
        if isinstance(quality, dict):
            cells = [_figure(quality[name]) if name in quality else "" for name in METRICS]
        seconds = [f"{each['seconds a clip'][how]['median']:.3f}" for how in ("one by one", "in a batch")]
        rows.append((each["name"], f"{each['parameters']:,}", *cells, *seconds, f"{each['peak MiB']:,.0f}"))
        if less := each["less ours"]:
            low, high = less["interval"]
            spread = f"{low:+.1f} to {high:+.1f}, p {less['p']:.3f}"
            differences.append(f"{each['name']} less ours, CIDEr-D: {less['CIDEr-D']:+.1f} ({spread})")
    columns = ("model", "parameters", *METRICS, "s a clip, alone", f"s a clip, of {batch}", "peak MiB")
    return lines_of((f"    {document['command']}", text, table(columns, rows), *differences))


def _figure(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.1f} ({low:.1f} to {high:.1f})"
