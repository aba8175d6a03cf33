"""Compose label, encode, train and a report by the user's own verbs, as stages that run once and resume.

    labels -> captions (the kept labels, split by file) -> memories -> train [-> finetune] -> captioner -> report

Clips are not packed: the encoder is frozen and its memories are all that training reads.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.errors import DataError
from pseudocap.files.atomic import write_text
from pseudocap.learn.plan import (
    CAPTIONER,
    CAPTIONS,
    HELD_OUT,
    LABELS,
    LEARNED,
    MEMORIES,
    PAGE,
    PEOPLE,
    REFERENCES,
    REPORT,
    TRAIN,
    TUNE,
    LearnPlan,
    files_of,
    identity_of,
    peoples_captions,
)
from pseudocap.regimes.table import resume_words
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.types import Progress, Pseudolabel

CODE = 1  # raised when the code of a stage makes something else of the same plan
# A captioner that teaches itself writes five captions of a clip; the one that agrees best with the others is learned.
# Temperature 1 is too hot for it: docs/learn.md has the trial.
SAMPLES = ("--top-p", "0.9", "--temperature", "0.5", "--captions", "5")
DONE_OR_SOME_FAILED = (0, 1)
LR, TUNING_LR = 5e-4, 5e-4


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Set how a run computes. The labels, and so all that stands on them, depend on its `label_batch` alone."""

    device: str  # cpu, cuda
    workers: int = 2

    @property
    def label_batch(self) -> int:
        return 8 if self.device == "cpu" else 32

    def trainer_words(self) -> tuple[str, ...]:
        gpu = self.device != "cpu"
        return ("--trainer.accelerator", "auto" if gpu else "cpu", "--trainer.precision", "bf16-mixed" if gpu else "32")


def stages(shop: Workshop, plan: LearnPlan, machine: Machine) -> list[Stage]:
    end = TUNE if plan.tune else TRAIN
    return [
        _labels(shop, plan, machine),
        Stage(
            name=CAPTIONS,
            settings={"code": CODE, "held out": plan.held_out, "people": identity_of(plan.captions)},
            make=lambda folder, report: write_captions(folder, shop.folder(LABELS) / "run", plan),
            needs=(LABELS,),
        ),
        Stage(
            name=MEMORIES,
            settings={"code": CODE, "start": plan.start, "pictures": identity_of(plan.pictures)},
            make=lambda folder, report: _encode(shop, plan, machine),
            needs=(CAPTIONS,),
        ),
        _train(shop, plan, machine),
        *([_tune(shop, plan, machine)] if plan.tune else []),
        Stage(
            name=CAPTIONER,
            settings={"code": CODE},
            make=lambda folder, report: _copy(shop.folder(end) / "run" / ("best" if plan.tune else "last"), folder),
            needs=(end,),
        ),
        Stage(
            name=REPORT,
            settings={"code": CODE},
            make=lambda folder, report: _report(folder, shop, plan, machine, report),
            needs=(CAPTIONER,),
        ),
    ]


def teacher_words(plan: LearnPlan, machine: Machine) -> tuple[str, ...]:
    """Return the options of `pseudocap label`: a captioner that teaches itself samples several captions of a clip."""
    samples = SAMPLES if plan.teaches_itself else ()
    seconds = ("--clip-seconds", f"{plan.clip_seconds:g}", "--min-seconds", f"{plan.min_seconds:g}")
    batch = ("--batch-size", str(machine.label_batch), "--seed", str(plan.seed))
    return ("--teacher", plan.teacher, *samples, *seconds, *batch)


def _labels(shop: Workshop, plan: LearnPlan, machine: Machine) -> Stage:
    def label(folder: Path, report: Progress) -> Mapping[str, Any]:
        write_text(folder / "videos.txt", "".join(f"{Path(plan.root) / video.name}\n" for video in plan.videos))
        words = ("label", f"{LABELS}/videos.txt", "--out", f"{LABELS}/run", *teacher_words(plan, machine))
        shop.verb(*words, "--workers", str(machine.workers), "--device", machine.device, accepted=DONE_OR_SOME_FAILED)
        return {"command": command_text(words)}

    videos = [[video.name, video.size] for video in plan.videos]
    settings = {"code": CODE, "root": plan.root, "videos": videos, "words": teacher_words(plan, machine)}
    return Stage(name=LABELS, settings=settings, make=label)


def write_captions(folder: Path, labels: Path, plan: LearnPlan) -> Mapping[str, Any]:
    """Write the kept labels as captions to learn from and to measure on, and people's captions beside them."""
    from pseudocap.label.schema import read_labels

    rows = list(read_labels(labels))
    kept = [label for label in rows if label.kept]
    held = set(plan.held_out)
    parts: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for label, caption in zip(kept, _captions_of(kept), strict=True):
        name = Path(label.clip.source).relative_to(plan.root).as_posix()
        times = {"start": round(label.clip.start, 3), "end": round(label.clip.end, 3)}
        parts[name in held].append({"video": name, "caption": caption, **times})
    refused = Counter(verdict for label in rows for verdict in (("failed",) if label.failed else label.verdicts))
    for is_held, found in parts.items():
        if not found:
            reasons = ", ".join(f"{name} {count:,}" for name, count in refused.most_common())
            raise DataError(
                f"none of the teacher's captions of the videos {'held out' if is_held else 'to learn from'} was kept "
                f"({reasons}); name another --teacher, or look at them with pseudocap audit {labels}"
            )
    _write_rows(folder / f"{LEARNED}.jsonl", parts[False], "train")
    _write_rows(folder / f"{HELD_OUT}.jsonl", parts[True], "val")
    return {
        "clips": len(rows),
        "learned from": len(parts[False]),
        "held out": len(parts[True]),
        "not kept": dict(refused.most_common()),
        **_write_peoples(folder, plan),
    }


def _captions_of(labels: Sequence[Pseudolabel]) -> list[str]:
    """Return the caption of each clip that is learned: where there are several, the one that agrees best with the
    others, since what is made up is rarely made up twice."""
    from pseudocap.label.consensus import agreements, medoid_first

    if not labels or min(len(label.captions) for label in labels) < 2:
        return [label.caption for label in labels]
    scores = agreements({number: label.captions for number, label in enumerate(labels)})
    return [label.captions[medoid_first(scores[number])[0]] for number, label in enumerate(labels)]


def _write_peoples(folder: Path, plan: LearnPlan) -> dict[str, int]:
    corpus = peoples_captions(plan)
    if corpus is None:
        return {}
    files, held = files_of(plan, corpus), set(plan.held_out)
    parts: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for row in corpus.rows:
        if row.id in files:
            times = {} if row.start is None else {"start": row.start, "end": row.end}
            known = {"video": files[row.id], "caption": list(row.captions), **times}
            parts[files[row.id] in held].append(known)
    _write_rows(folder / f"{REFERENCES}.jsonl", parts[True], "val")
    _write_rows(folder / f"{PEOPLE}.jsonl", parts[False], "train")
    return {"references": len(parts[True]), "captioned by people, to learn from": len(parts[False])}


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]], split: str) -> None:
    write_text(path, "".join(json.dumps({**row, "split": split}, ensure_ascii=False) + "\n" for row in rows))


def _encode(shop: Workshop, plan: LearnPlan, machine: Machine) -> Mapping[str, Any]:
    """Encode what is learned from, what is held out, and the stretches that people captioned, in folders apart."""
    names = [LEARNED, HELD_OUT, *([REFERENCES] if plan.captions else []), *([PEOPLE] if plan.tune else [])]
    how = ("--encoder", plan.start, "--workers", str(machine.workers), "--device", machine.device)
    for name in names:
        source = ("encode", f"{CAPTIONS}/{name}.jsonl", "--videos", plan.root, "--out", f"{MEMORIES}/{name}")
        shop.verb(*source, *how, accepted=DONE_OR_SOME_FAILED)
    if plan.pictures is not None:
        folder = str(Path(plan.pictures).parent)
        pictures = ("encode", plan.pictures, "--images", "--videos", folder, "--out", f"{MEMORIES}/pictures")
        shop.verb(*pictures, *how, accepted=DONE_OR_SOME_FAILED)
    stored = sum(path.stat().st_size for path in shop.folder(MEMORIES).rglob("*") if path.is_file())
    return {"bytes": stored}


def train_words(plan: LearnPlan) -> tuple[str, ...]:
    """Return the arguments of `pseudocap train` but for the machine's. Validation captions the held-out clips, and
    scores them against the teacher's captions, ten times."""
    steps = plan.optimiser_steps
    tenth = max(1, steps // 10)
    images = ("--data.images", f"{MEMORIES}/pictures", "--data.image_batch_factor", "1") if plan.pictures else ()
    shares = ("--data.probabilities", json.dumps({"image": 0.5, "video": 0.5})) if plan.pictures else ()
    return (
        *("train", plan.regime, "--out", f"{TRAIN}/run", "--seed_everything", str(plan.seed)),
        *("--model.model", "pseudocap.regimes.networks.from_pretrained"),
        *("--model.model.init_args.source", plan.start, "--model.objective.memory_dropout", "0.1"),
        *("--model.optimisation.lr", str(LR), "--model.optimisation.warmup_steps", str(min(20, tenth))),
        *("--data.videos", f"{MEMORIES}/{LEARNED}", *images, *shares, "--data.batch_size", str(plan.batch)),
        *("--data.epoch_steps", str(tenth), "--data.workers", "0", "--data.seed", str(plan.seed)),
        *("--data.validation", "pseudocap.data.caption_data.CaptionData"),
        *("--data.validation.source", f"{CAPTIONS}/{HELD_OUT}.jsonl", "--data.validation.workers", "0"),
        *("--data.validation.memories", f"{MEMORIES}/{HELD_OUT}"),
        *("--trainer.max_steps", str(steps), "--trainer.num_sanity_val_steps", "0"),
        *("--trainer.log_every_n_steps", str(max(1, steps // 100)), "--trainer.enable_model_summary", "false"),
        *("--checkpoint_every", str(min(100, tenth))),
    )


def _train(shop: Workshop, plan: LearnPlan, machine: Machine) -> Stage:
    words = train_words(plan)

    def train(folder: Path, report: Progress) -> Mapping[str, Any]:
        resume = resume_words(folder / "run")
        shop.verb(*words, *machine.trainer_words(), *resume)
        return {"command": command_text(words)}

    return Stage(name=TRAIN, settings={"code": CODE, "words": words}, make=train, needs=(MEMORIES,))


def _tune(shop: Workshop, plan: LearnPlan, machine: Machine) -> Stage:
    """Return the stage that learns people's captions; it holds some of them out for itself, to know when to stop."""
    words = (
        *("finetune", "--from", f"{TRAIN}/run/last", "--data", f"{CAPTIONS}/{PEOPLE}.jsonl", "--videos", plan.root),
        *("--memories", f"{MEMORIES}/{PEOPLE}", "--out", f"{TUNE}/run", "--lr", str(TUNING_LR)),
        *("--seed", str(plan.seed), "--workers", "0"),
    )

    def tune(folder: Path, report: Progress) -> Mapping[str, Any]:
        resume = resume_words(folder / "run")
        if not resume and (folder / "run").exists():
            shutil.rmtree(folder / "run")  # killed before its first checkpoint
        shop.verb(*words, "--device", machine.device, *resume)
        return {"command": command_text(words)}

    return Stage(name=TUNE, settings={"code": CODE, "words": words}, make=tune, needs=(TRAIN,))


def _copy(source: Path, folder: Path) -> Mapping[str, Any]:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return {"from": source.name}


def _report(folder: Path, shop: Workshop, plan: LearnPlan, machine: Machine, progress: Progress) -> Mapping[str, Any]:
    from pseudocap.learn.measure import measure_run
    from pseudocap.learn.page import verdict, write_page

    measured = measure_run(folder, shop, plan, device=machine.device, progress=progress)
    write_page(folder / PAGE, shop, plan, measured)
    return {"verdict": verdict(measured), **measured.document()}
