"""Measure the captioners of real pictures on what nothing has learned from, and report scores and captions."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import Decoding
from pseudocap.evaluate.captioner import SAMPLES, HeldOut, references_of, rounded, rounded_intervals
from pseudocap.evaluate.views import BLIND, blank
from pseudocap.files.atomic import write_text
from pseudocap.memory import AXES
from pseudocap.metrics.suite import score
from pseudocap.types import CaptionedVideo
from pseudocap.video.tensors import batched, decode_file, pad_clips
from pseudocap.zoo.real_data import RealData

Report = dict[str, Any]
WAYS = {"greedy": 1, "3 beams": 3}
SHEETS = {"photographs": 24, "clips": 12}  # captions in the report
BATCH = 25  # files captioned at once
NAMED = {
    "a dog": re.compile(r"\bdogs?\b", re.IGNORECASE),
    "a person": re.compile(r"\b(wo)?m[ae]n\b|\b(person|people|child|children|boys?|girls?)\b", re.IGNORECASE),
}


def measure(folder: Path, captioner: Path, held_out: Mapping[str, Sequence[HeldOut]]) -> Report:
    """Caption everything that is held out, keep the captions in `folder`, and return their scores."""
    model = PseudoCap.from_pretrained(captioner)
    scores: Report = {}
    for where, files in held_out.items():
        scores |= score_captions(folder, where, files, caption_files(model, files))
    return {"scores": scores}


def score_captions(
    folder: Path, where: str, files: Sequence[HeldOut], captions: Mapping[str, Mapping[str, str]]
) -> Report:
    """Score captions of files that were written in several ways, and keep them in the folder."""
    references = references_of(files)
    scores: Report = {}
    for how, found in captions.items():
        write_text(folder / f"{where}, {how}.json", json.dumps(found, indent=1))
        measured = score(predictions=found, references=references, bootstrap=SAMPLES)
        scores[f"{where}, {how}"] = {**rounded(measured, 2), "intervals": rounded_intervals(measured, 2)}
    return scores


def held_out(data: RealData, pictures: Path) -> dict[str, list[HeldOut]]:
    """Return what is captioned to be scored: the test photographs, and the clips."""
    photographs = [each for each in data.photographs if each.split == "test"]

    def below(folder: Path, rows: Iterable[CaptionedVideo]) -> list[HeldOut]:
        return [HeldOut(key=row.video, path=folder / row.video, references=row.captions) for row in rows]

    return {"photographs": below(pictures, photographs), "clips": below(data.root / "real_clips", data.clips)}


def caption_files(model: PseudoCap, files: Sequence[HeldOut]) -> dict[str, dict[str, str]]:
    """Caption files greedily, with beams, and blind: from a memory of zeros, what its language alone is worth."""
    captions: dict[str, dict[str, str]] = {}
    for batch in batched(iter(files), BATCH):
        keys = [each.key for each in batch]
        memory = model.encode(*pad_clips([decode_file(each.path, model.config.preprocess) for each in batch]))
        for how, beams in WAYS.items():
            texts = model.describe(memory, **Decoding(beams=beams).generate_options())
            captions.setdefault(how, {}).update(zip(keys, texts, strict=True))
    (text,) = model.describe(blank(memory[:1], AXES), **Decoding().generate_options())
    return captions | {BLIND: dict.fromkeys((each.key for each in files), text)}


def metrics_of(found: Report) -> dict[str, float]:
    return {metric: value for metric, value in found.items() if metric != "intervals"}


def score_table(reports: Mapping[str, Report]) -> Iterator[str]:
    yield "| captioner | scored on | CIDEr-D (95 %) | BLEU-4 | ROUGE-L |"
    yield "|---|---|---|---|---|"
    for name, scores in reports.items():
        for where, found in scores.items():
            low, high = found["intervals"].get("CIDEr-D", (0.0, 0.0))
            figures = (
                f"{found['CIDEr-D']:.1f} ({low:.1f} to {high:.1f}) | {found['BLEU-4']:.1f} | {found['ROUGE-L']:.1f}"
            )
            yield f"| `{name}` | {where} | {figures} |"


def sheet(captioned: Mapping[str, Path], where: str, files: Sequence[HeldOut]) -> Iterator[str]:
    """Yield captions of files drawn from a seed, good and bad, beside what a person wrote; and how many of all captions
    name a dog or a person, where the references do or do not. `captioned` has the folder of each captioner's scores."""
    captions = {
        name: json.loads((folder / f"{where}, 3 beams.json").read_text(encoding="utf-8"))
        for name, folder in captioned.items()
    }
    yield f"\n| {where} | {' | '.join(f'`{name}`' for name in captions)} | a person wrote |"
    yield f"|---|{'---|' * len(captions)}---|"
    ordered = sorted(files, key=lambda each: each.key)
    chosen = random.Random(0).sample(ordered, min(SHEETS[where], len(ordered)))
    for each in sorted(chosen, key=lambda each: each.key):
        yield f"| `{each.key}` | {' | '.join(found[each.key] for found in captions.values())} | {each.references[0]} |"
    yield f"\n| {where} with | in a reference | {' | '.join(f'`{name}`, and in both' for name in captions)} |"
    yield f"|---|---|{'---|' * len(captions)}"
    for what, word in NAMED.items():
        there = {each.key for each in files if any(word.search(text) for text in each.references)}
        named = [{key for key, text in found.items() if word.search(text)} for found in captions.values()]
        yield f"| {what} | {len(there)} | {' | '.join(f'{len(keys)}, {len(keys & there)}' for keys in named)} |"
