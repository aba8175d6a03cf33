"""Build the captioners of real pictures and video (`pseudocap zoo build --world real --data DIR`) by a user's verbs.

Photographs -> encoder with ImageNet weights, standardised on them -> OPT on captions as text -> memories by `encode` ->
`train image-only` -> `train self-critical`, twice, averaged: real-photos -> `label` and `pack`: labels of the clips ->
`train video-only`, and `train mixed` and self-critical: real-mixed -> scores -> what is shipped.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import Decoding
from pseudocap.evaluate.captioner import SAMPLES, HeldOut, references_of, rounded, rounded_intervals
from pseudocap.evaluate.views import BLIND, blank
from pseudocap.files.atomic import write_text
from pseudocap.metrics.suite import score
from pseudocap.stages import Stage, Workshop, command_text, commit
from pseudocap.types import Progress, StageProgress
from pseudocap.video.tensors import batched, decode_file, pad_clips
from pseudocap.zoo.efficientnet import write_encoder
from pseudocap.zoo.opt import OPTRecipe, build_opt
from pseudocap.zoo.real_data import RealData
from pseudocap.zoo.ship import REAL_LIMIT, Backbones, copy_backbones, finish, row_of, save_captioner
from pseudocap.zoo.train_loop import Course

CODE = 1  # raised when the code of a stage makes other weights of the same recipe
Main = Callable[[Sequence[str]], int]
Report = dict[str, Any]
PHOTOGRAPHS, VIDEO, MIXED = "real-photos", "real-video", "real-mixed"
ROWS = {PHOTOGRAPHS: "image-only", VIDEO: "video-only", MIXED: "mixed"}  # names of captioners, and their regimes
SHIPPED = (PHOTOGRAPHS, MIXED)
TEACHER = "critical"  # the stage whose captioner labels the clips
BACKBONES = Backbones(decoder="real-opt", encoder="efficientnet-lite0")
COMMAND = "pseudocap zoo build --world real --data DIR"
LICENSE = "non-commercial research and education"
SHEETS = {"photographs": 24, "clips": 12}  # captions in the report
WAYS = {"greedy": 1, "3 beams": 3}
BATCH = 25  # files captioned at once


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRecipe:
    """Set one training: its length, and how many photographs or clips each step has."""

    steps: int
    lr: float
    batch: int
    warmup: int = 50

    def words(self) -> tuple[str, ...]:
        return (
            *("--trainer.max_steps", str(self.steps), "--model.optimisation.lr", str(self.lr)),
            *("--model.optimisation.warmup_steps", str(self.warmup), "--data.batch_size", str(self.batch)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RealRecipe:
    """Hold everything that the weights depend on beside the data, the code apart."""

    seed: int = 0
    weights: str = ""  # of the encoder's network: a package's, unless an encoder is named
    pictures: int = 15  # every so many-th is looked at to standardise the encoder
    size: int = 288
    layers: tuple[int, ...] = (2, 4, 6, 7)  # those behind the adapters; six adapters would not fit what may be shipped
    opt: OPTRecipe = field(
        default_factory=lambda: OPTRecipe(
            vocabulary=6000,
            width=256,
            layers=8,
            heads=8,
            batch=128,
            dropout=0.1,
            bfloat16=True,
            course=Course(steps=2200, lr=2e-3, weight_decay=0.1),
        )
    )
    photographs: TrainingRecipe = TrainingRecipe(steps=1000, lr=2e-3, batch=40)
    critical: TrainingRecipe = TrainingRecipe(steps=400, lr=5e-4, batch=24, warmup=20)
    longer: TrainingRecipe = TrainingRecipe(steps=600, lr=5e-4, batch=24, warmup=20)
    video: TrainingRecipe = TrainingRecipe(steps=100, lr=1e-3, batch=24)
    mixed: TrainingRecipe = TrainingRecipe(steps=200, lr=5e-4, batch=40)
    mixed_critical: TrainingRecipe = TrainingRecipe(steps=300, lr=5e-4, batch=24, warmup=20)


FULL_RECIPE = RealRecipe()
SMOKE_RECIPE = RealRecipe(
    weights="pseudocap://efficientnet-lite0",
    pictures=1,
    layers=(1,),
    opt=OPTRecipe(vocabulary=300, width=32, layers=2, heads=2, batch=8, course=Course(steps=4, lr=2e-3)),
    photographs=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
    critical=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
    longer=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
    video=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
    mixed=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
    mixed_critical=TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1),
)


def build(
    root: Path,
    recipe: RealRecipe,
    data: RealData,
    *,
    main: Main,
    workers: int = 2,
    progress: StageProgress = lambda what, done, total: None,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Report]:
    """Make everything below `root`, or go on with it, and return the report of each stage. `root/zoo` is shipped."""
    root.mkdir(parents=True, exist_ok=True)
    shop = Workshop(root=root, main=main, progress=progress, say=log)
    shop.run(stages(shop, recipe, data, workers))
    return shop.reports


def stages(shop: Workshop, recipe: RealRecipe, data: RealData, workers: int) -> list[Stage]:
    return [
        *_frozen(shop, recipe, data),
        _memories(shop, workers),
        _training(shop, recipe, "image-only", "image-only", recipe.photographs, ("encoder", "decoder", "memories")),
        _training(shop, recipe, "critical", "self-critical", recipe.critical, ("memories",), start="image-only"),
        _training(shop, recipe, "longer", "self-critical", recipe.longer, ("memories",), start="critical"),
        Stage(
            name=PHOTOGRAPHS,
            settings={"code": CODE},
            make=lambda folder, report: _average(folder, shop, ("critical", "longer")),
            needs=("critical", "longer"),
        ),
        *_labelling(shop, recipe, data, workers),
        _training(shop, recipe, VIDEO, "video-only", recipe.video, ("encoder", "decoder", "memories-clips")),
        _training(shop, recipe, "mixed", "mixed", recipe.mixed, ("memories", "memories-clips"), start="image-only"),
        _training(shop, recipe, MIXED, "self-critical", recipe.mixed_critical, ("memories",), start="mixed"),
        *(_scores(shop, data, name) for name in ROWS),
        Stage(
            name="zoo",
            settings={"code": CODE},
            make=lambda folder, report: _ship(folder, shop, recipe, data),
            needs=[f"scores-{name}" for name in ROWS],
        ),
    ]


def _frozen(shop: Workshop, recipe: RealRecipe, data: RealData) -> list[Stage]:
    """List the stages of the photographs as files, and of both frozen networks."""
    of = {"code": CODE, "seed": recipe.seed, "data": data.identity}

    def encoder(folder: Path, report: Progress) -> Report:
        pictures = sorted((shop.root / "photographs" / "files" / "pictures").iterdir())[:: recipe.pictures]
        write_encoder(folder, pictures, recipe.weights, size=recipe.size)
        return {"pictures": len(pictures)}

    return [
        Stage(name="photographs", settings=of, make=lambda folder, report: data.write_photographs(folder / "files")),
        Stage(
            name="encoder",
            settings=of | {"weights": recipe.weights, "pictures": recipe.pictures, "size": recipe.size},
            make=encoder,
            needs=("photographs",),
        ),
        Stage(
            name="decoder",
            settings=of | asdict(recipe.opt),
            make=lambda folder, report: build_opt(folder, recipe.opt, *data.text, seed=recipe.seed, progress=report),
        ),
    ]


def _memories(shop: Workshop, workers: int) -> Stage:
    photographs = ("photographs/files/train.jsonl", "--images", "--videos", "photographs/files/pictures")
    return Stage(
        name="memories",
        settings={"code": CODE},
        make=lambda folder, report: _encode(shop, folder.name, photographs, workers=workers),
        needs=("photographs", "encoder"),
    )


def _encode(shop: Workshop, name: str, source: Sequence[str], *, workers: int) -> Report:
    words = ("encode", *source, "--encoder", "encoder", "--out", f"{name}/store", "--bf16")
    shop.verb(*words, "--workers", str(workers))
    return {"command": command_text(words)}


def _training(
    shop: Workshop,
    recipe: RealRecipe,
    name: str,
    regime: str,
    training: TrainingRecipe,
    needs: Sequence[str],
    *,
    start: str | None = None,
) -> Stage:
    """Return the stage of a training from new adapters, or from the captioner of another stage."""
    words = (
        *("train", regime, "--config", "toy", "--out", f"{name}/run", "--seed_everything", str(recipe.seed)),
        *_captioner_words(recipe, start),
        *training.words(),
        *("--model.optimisation.weight_decay", "0.05", "--model.optimisation.beta2", "0.99"),
        *_objective_words(regime),
        *_data_words(needs),
        *("--data.workers", "0", "--data.seed", str(recipe.seed)),
        *("--trainer.accelerator", "auto", "--trainer.precision", "bf16-mixed"),
        *("--trainer.enable_progress_bar", "false", "--checkpoint_every", "100"),
    )

    def train(folder: Path, report: Progress) -> Report:
        resume = ("--resume",) if (folder / "run" / "checkpoints" / "last.ckpt").is_file() else ()
        shop.verb(*words, *resume)
        return {"command": command_text(words)}

    return Stage(
        name=name,
        settings={"code": CODE, "words": words},
        make=train,
        needs=tuple(needs) + ((start,) if start else ()),
    )


def _average(folder: Path, shop: Workshop, names: Sequence[str]) -> Report:
    """Save the mean of the weights of captioners that are stages of one course."""
    model, *others = (PseudoCap.from_pretrained(shop.folder(f"{name}/run/last"), device="cpu") for name in names)
    states = [other.adapter_state() for other in others]
    for name, tensor in model.adapter_state().items():
        tensor.copy_(torch.stack([tensor, *(state[name] for state in states)]).mean(dim=0))
    model.save_pretrained(folder / "run" / "last")
    return {"averaged": list(names)}


def _captioner_words(recipe: RealRecipe, start: str | None) -> tuple[str, ...]:
    networks, fields = "pseudocap.regimes.networks", "--model.model.init_args"
    frozen = (f"{fields}.decoder", "decoder", f"{fields}.encoder", "encoder")
    if start is not None:
        return ("--model.model", f"{networks}.from_pretrained", f"{fields}.source", f"{start}/run/last", *frozen)
    layers = (f"{fields}.adapter_layers", json.dumps(recipe.layers), f"{fields}.gate_init", "1.0")
    return ("--model.model", f"{networks}.from_backbones", *frozen, *layers)


def _objective_words(regime: str) -> tuple[str, ...]:
    if regime == "self-critical":
        return ()
    return ("--model.objective.smoothing", "0.1", "--model.objective.memory_dropout", "0.1", "--data.captions", "3")


def _data_words(needs: Sequence[str]) -> tuple[str, ...]:
    """Return the streams among what a stage needs; of a mixture a fifth of the batches is clips."""
    images = ("--data.images", "memories/store", "--data.image_batch_factor", "1") if "memories" in needs else ()
    clips = ("--data.videos", "memories-clips/store") if "memories-clips" in needs else ()
    shares = ("--data.probabilities", json.dumps({"image": 0.8, "video": 0.2})) if images and clips else ()
    return (*images, *clips, *shares)


def _labelling(shop: Workshop, recipe: RealRecipe, data: RealData, workers: int) -> list[Stage]:
    """List the stages in which the captioner of photographs labels the clips, whose captions are not looked at."""

    def label(folder: Path, report: Progress) -> Report:
        run = ("--out", "labels/run", "--seed", str(recipe.seed), "--workers", str(workers))
        words = ("label", str(data.root.resolve() / "real_clips"), "--teacher", f"{TEACHER}/run/last", *LABELS)
        shop.verb(*words, *run)
        shop.verb("pack", "labels/run", "--out", "labels/clips", "--workers", str(workers))
        return {"command": command_text(words)}

    return [
        Stage(
            name="labels",
            settings={"code": CODE, "words": LABELS, "seed": recipe.seed},
            make=label,
            needs=(TEACHER,),
        ),
        Stage(
            name="memories-clips",
            settings={"code": CODE},
            make=lambda folder, report: _encode(shop, folder.name, ("labels/clips",), workers=workers),
            needs=("labels", "encoder"),
        ),
    ]


LABELS = ("--top-p", "0.9")  # nucleus sampling, of the entire clip


def _scores(shop: Workshop, data: RealData, name: str) -> Stage:
    """Return the stage that scores a captioner on the test photographs and on the clips, of which none has captions
    that were learned."""

    def measure(folder: Path, report: Progress) -> Report:
        model = PseudoCap.from_pretrained(shop.folder(f"{name}/run/last"))
        scores = {}
        for where, files in held_out(data, shop.folder("photographs/files/pictures")).items():
            for how, captions in caption_files(model, files).items():
                write_text(folder / f"{where}, {how}.json", json.dumps(captions, indent=1))
                found = score(predictions=captions, references=references_of(files), bootstrap=SAMPLES)
                scores[f"{where}, {how}"] = {**rounded(found, 2), "intervals": rounded_intervals(found, 2)}
        return {"scores": scores}

    return Stage(
        name=f"scores-{name}",
        settings={"code": CODE, "data": data.identity},
        make=measure,
        needs=(name, "photographs"),
    )


def held_out(data: RealData, pictures: Path) -> dict[str, list[HeldOut]]:
    """Return what is captioned to be scored: the test photographs, and the clips."""
    photographs = [each for each in data.photographs if each.split == "test"]
    clips = data.root / "real_clips"
    return {
        "photographs": [HeldOut(key=p.image, path=pictures / p.image, references=p.captions) for p in photographs],
        "clips": [HeldOut(key=name, path=clips / name, references=texts) for name, texts in data.clips.items()],
    }


def caption_files(model: PseudoCap, files: Sequence[HeldOut]) -> dict[str, dict[str, str]]:
    """Caption files greedily, with beams, and blind: from a memory of zeros, what its language alone is worth."""
    captions: dict[str, dict[str, str]] = {}
    for batch in batched(iter(files), BATCH):
        keys = [each.key for each in batch]
        memory = model.encode(*pad_clips([decode_file(each.path, model.config.preprocess) for each in batch]))
        for how, beams in WAYS.items():
            texts = model.describe(memory, **Decoding(beams=beams).generate_options())
            captions.setdefault(how, {}).update(zip(keys, texts, strict=True))
        (text,) = model.describe(memory[:1].each(blank), **Decoding().generate_options())
        captions.setdefault(BLIND, {}).update(dict.fromkeys(keys, text))
    return captions


def _ship(folder: Path, shop: Workshop, recipe: RealRecipe, data: RealData) -> Report:
    """Write what is shipped: both frozen networks in float16, and adapters in 8 bits, so that all fit; and report.md,
    the scores of all captioners and captions of the best that nobody has selected."""
    shipped = copy_backbones(folder, {"decoder": BACKBONES.decoder, "encoder": BACKBONES.encoder}, shop)
    reports = {name: shop.reports[f"scores-{name}"]["scores"] for name in ROWS}
    rows = []
    for name in SHIPPED:
        scores = [
            {
                "dataset": dataset,
                "split": split,
                "metrics": _metrics(reports[name][f"{where}, greedy"]),
                "command": COMMAND,
            }
            for where, dataset, split in (
                ("photographs", "flickr8k", "test"),
                ("clips", "panda-70m samples", "66 clips"),
            )
        ]
        tested = reports[name]["photographs, greedy"]
        results = {
            "regime": ROWS[name],
            "data": {"corpus": "flickr8k", "videos": shop.reports["photographs"]["train"]},
            "split": "test",
            "scores": scores[0]["metrics"],
            "intervals": tested["intervals"],
            "videos": shop.reports["photographs"]["test"],
            "command": COMMAND,
        }
        save_captioner(shop.folder(f"{name}/run/last"), shipped / name, BACKBONES, results, int8=True, license=LICENSE)
        rows.append(
            {
                **row_of(shipped / name, BACKBONES, ROWS[name]),
                "config": "pseudocap/zoo/real.py",
                "scores": scores,
                "license": LICENSE,
                "made_by": {"command": COMMAND, "seed": recipe.seed, "commit": commit()},
            }
        )
    table = list(_table(reports))
    sheets = [line for where, files in held_out(data, folder).items() for line in _sheet(shop, where, files)]
    write_text(folder / "report.md", "\n".join([*table, *sheets]) + "\n")
    return finish(folder, rows, REAL_LIMIT) | {"table": table}


def _metrics(found: Report) -> dict[str, float]:
    return {metric: value for metric, value in found.items() if metric != "intervals"}


def _table(reports: dict[str, Report]) -> Iterator[str]:
    yield "| captioner | scored on | CIDEr-D (95 %) | BLEU-4 | ROUGE-L |"
    yield "|---|---|---|---|---|"
    for name, scores in reports.items():
        for where, found in scores.items():
            low, high = found["intervals"].get("CIDEr-D", (0.0, 0.0))
            figures = (
                f"{found['CIDEr-D']:.1f} ({low:.1f} to {high:.1f}) | {found['BLEU-4']:.1f} | {found['ROUGE-L']:.1f}"
            )
            yield f"| `{name}` | {where} | {figures} |"


def _sheet(shop: Workshop, where: str, files: Sequence[HeldOut]) -> Iterator[str]:
    """Yield captions of files drawn from a seed, good and bad, beside what a person wrote."""
    captions = [
        json.loads((shop.folder(f"scores-{name}") / f"{where}, 3 beams.json").read_text(encoding="utf-8"))
        for name in SHIPPED
    ]
    yield f"\n| {where} | {' | '.join(f'`{name}`' for name in SHIPPED)} | a person wrote |\n|---|---|---|---|"
    chosen = sorted(files, key=lambda each: each.key)
    for each in sorted(random.Random(0).sample(chosen, min(SHEETS[where], len(chosen))), key=lambda each: each.key):
        yield f"| `{each.key}` | {' | '.join(found[each.key] for found in captions)} | {each.references[0]} |"
