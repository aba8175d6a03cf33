"""Fine-tune a captioner on the captions of the few real clips, so that each clip is captioned by one that has not
learned from it: of five parts one is captioned, one stops the learning, and three are learned from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pseudocap.captioner import PseudoCap
from pseudocap.evaluate.captioner import HeldOut
from pseudocap.files.atomic import write_text
from pseudocap.regimes.table import resume_words
from pseudocap.stages import Workshop, command_text
from pseudocap.zoo.real_report import Report, caption_files, score_captions

SPLITS = ("test", "val", "train", "train", "train")  # of a fold; the next one has them a part further
SETTINGS = ("--lr", "2e-4", "--max-epochs", "12", "--patience", "4", "--workers", "0")


def score_folds(folder: Path, shop: Workshop, start: str, clips: Sequence[HeldOut], *, seed: int) -> Report:
    """Fine-tune the captioner of the stage `start` once for each part, and score all captions of all parts at once."""
    folds = [
        {each.key: SPLITS[(index + fold) % len(SPLITS)] for index, each in enumerate(clips)}
        for fold in range(len(SPLITS))
    ]
    for number, splits in enumerate(folds):
        rows = ({"video": each.key, "caption": each.references, "split": splits[each.key]} for each in clips)
        write_text(folder / f"{number}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    videos, store = ("--videos", str(clips[0].path.parent)), f"{folder.name}/store"
    shop.verb("encode", f"{folder.name}/0.jsonl", *videos, "--encoder", "encoder", "--out", store, "--bf16")
    captions: dict[str, dict[str, str]] = {}
    for number, splits in enumerate(folds):
        run = folder / str(number)
        resume = resume_words(run)
        if not resume:
            shutil.rmtree(run, ignore_errors=True)  # killed before its first checkpoint
        words = (
            *("finetune", "--from", f"{start}/run/last", "--decoder", "decoder", "--encoder", "encoder"),
            *("--data", f"{folder.name}/{number}.jsonl", *videos, "--memories", store),
            *("--out", f"{folder.name}/{number}", *SETTINGS, "--seed", str(seed)),
        )
        shop.verb(*words, *resume)
        unseen = [each for each in clips if splits[each.key] == "test"]
        for how, found in caption_files(PseudoCap.from_pretrained(run / "best"), unseen).items():
            captions.setdefault(how, {}).update(found)
    return {"command": command_text(words), "scores": score_captions(folder, "clips", clips, captions)}
