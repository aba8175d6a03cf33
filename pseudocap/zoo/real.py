"""Build the captioners of real pictures and video (`pseudocap zoo build --world real --data DIR`) by a user's verbs.

Photographs -> encoder with ImageNet weights, standardised on them -> OPT on captions as text -> memories by `encode` ->
`train image-only` -> `train self-critical`, twice, averaged: real-photos -> `label` and `pack`: labels of the clips ->
`train video-only`, and `train mixed` and self-critical: real-mixed -> `train image-only` with SmolLM2 -> scores -> what
is shipped. Beside them `train retrieval` on the memories: real-search.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from pseudocap.captioner import PseudoCap
from pseudocap.files.atomic import write_text
from pseudocap.files.sources import SHIPPED_SCHEME
from pseudocap.hub.fetch import CARD_FILE
from pseudocap.model.decoders.load import load_decoder
from pseudocap.model.weights import in_8_bits, read_tensors
from pseudocap.regimes.table import resume_words
from pseudocap.stages import Stage, Workshop, command_text, commit
from pseudocap.types import Progress
from pseudocap.zoo import real_search
from pseudocap.zoo.efficientnet import write_encoder
from pseudocap.zoo.opt import build_opt
from pseudocap.zoo.real_data import RealData
from pseudocap.zoo.real_folds import SETTINGS, SPLITS, score_folds
from pseudocap.zoo.real_pages import COMMAND, DECODER_PAGE, ENCODER_PAGE, LICENSE, trained_on
from pseudocap.zoo.real_report import Report, held_out, measure, metrics_of, score_table, sheet
from pseudocap.zoo.recipe import AdapterRecipe, RealRecipe, TrainingRecipe
from pseudocap.zoo.search import search_table
from pseudocap.zoo.ship import REAL_LIMIT, Backbones, copy_backbones, finish, row_of, save_captioner

CODE = 1  # raised when the code of a stage makes other weights of the same recipe
PHOTOGRAPHS, VIDEO, MIXED, LARGE = "real-photos", "real-video", "real-mixed", "real-photos-smollm2"
FIRST, LARGE_FIRST, LARGE_LAST = "image-only", "smollm2", "smollm2-critical"  # of cross-entropy alone, and then
ROWS = {FIRST: FIRST, PHOTOGRAPHS: FIRST, LARGE: FIRST, VIDEO: "video-only", MIXED: "mixed"}  # what is scored, regimes
SHIPPED = (PHOTOGRAPHS, MIXED, LARGE, VIDEO)
TUNED = "fine-tuned"  # on the captions of other clips than the one that it captions
TEACHER = "critical"  # the stage whose captioner labels the clips
OPT, ENCODER = "real-opt", "efficientnet-lite0"  # the frozen networks, as they are shipped
LABELS = ("--top-p", "0.9", "--temperature", "0.5", "--captions", "5")  # nucleus sampling, of the entire clip


def stages(shop: Workshop, recipe: RealRecipe, data: RealData, workers: int) -> list[Stage]:
    return [
        *_frozen(shop, recipe, data),
        _memories(shop, workers),
        _training(shop, recipe, FIRST, FIRST, recipe.photographs, ("encoder", "decoder", "memories")),
        _training(shop, recipe, "critical", "self-critical", recipe.critical, ("memories",), start=FIRST),
        _training(shop, recipe, "longer", "self-critical", recipe.longer, ("memories",), start="critical"),
        _mean(shop, PHOTOGRAPHS, ("critical", "longer")),
        *_labelling(shop, recipe, data, workers),
        _training(
            shop,
            recipe,
            VIDEO,
            "video-only",
            recipe.video,
            ("encoder", "decoder", "memories-clips"),
            adapters=recipe.few,
        ),
        _training(shop, recipe, "mixed", "mixed", recipe.mixed, ("memories", "memories-clips"), start=FIRST),
        _training(shop, recipe, MIXED, "self-critical", recipe.mixed_critical, ("memories",), start="mixed"),
        *_large(shop, recipe),
        *(_scores(shop, recipe, data, name) for name in scored(recipe, data)),
        *real_search.stages(shop, recipe, data, captioner=PHOTOGRAPHS),
        Stage(
            name="zoo",
            settings={"code": CODE},
            make=lambda folder, report: _ship(folder, shop, recipe, data),
            needs=[f"scores-{name}" for name in (*scored(recipe, data), real_search.SEARCH)],
        ),
    ]


def scored(recipe: RealRecipe, data: RealData) -> list[str]:
    """Return the names of what is scored: fine-tuning takes two clips in each part at least."""
    names = [name for name in ROWS if name != LARGE or recipe.large]
    return [*names, TUNED] if len(data.clips) >= 2 * len(SPLITS) else names


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
    adapters: AdapterRecipe | None = None,
) -> Stage:
    """Return the stage of a training from new adapters, the recipe's unless others are given, or from the captioner of
    another stage."""
    words = (
        *("train", regime, "--config", "toy", "--out", f"{name}/run", "--seed_everything", str(recipe.seed)),
        *_captioner_words(adapters or recipe.adapters, start),
        *training.words(),
        *("--model.optimisation.weight_decay", "0.05", "--model.optimisation.beta2", "0.99"),
        *_objective_words(regime),
        *_data_words(needs),
        *("--data.workers", "0", "--data.seed", str(recipe.seed)),
        *("--trainer.accelerator", "auto", "--trainer.precision", "bf16-mixed"),
        *("--trainer.enable_progress_bar", "false", "--checkpoint_every", "100"),
    )

    def train(folder: Path, report: Progress) -> Report:
        resume = resume_words(folder / "run")
        shop.verb(*words, *resume)
        return {"command": command_text(words)}

    return Stage(
        name=name,
        settings={"code": CODE, "words": words},
        make=train,
        needs=tuple(needs) + ((start,) if start else ()),
    )


def _large(shop: Workshop, recipe: RealRecipe) -> list[Stage]:
    """List the stages of the photographs' recipe with the larger language model, where the recipe has one."""
    if recipe.large is None:
        return []
    between: dict[str, Any] = {"adapters": recipe.large}
    return [
        _training(shop, recipe, LARGE_FIRST, FIRST, recipe.photographs, ("encoder", "memories"), **between),
        _training(
            shop,
            recipe,
            LARGE_LAST,
            "self-critical",
            recipe.large_critical,
            ("memories",),
            start=LARGE_FIRST,
            **between,
        ),
        _mean(shop, LARGE, (LARGE_FIRST, LARGE_LAST)),
    ]


def _mean(shop: Workshop, name: str, of: Sequence[str]) -> Stage:
    return Stage(
        name=name, settings={"code": CODE}, make=lambda folder, report: _average(folder, shop, of), needs=tuple(of)
    )


def _average(folder: Path, shop: Workshop, names: Sequence[str]) -> Report:
    """Save the mean of the weights of captioners that are stages of one course."""
    model, *others = (PseudoCap.from_pretrained(shop.folder(f"{name}/run/last"), device="cpu") for name in names)
    states = [other.adapter_state() for other in others]
    for name, tensor in model.adapter_state().items():
        tensor.copy_(torch.stack([tensor, *(state[name] for state in states)]).mean(dim=0))
    model.save_pretrained(folder / "run" / "last")
    return {"averaged": list(names)}


def _captioner_words(adapters: AdapterRecipe, start: str | None) -> tuple[str, ...]:
    networks, fields = "pseudocap.regimes.networks", "--model.model.init_args"
    frozen = (f"{fields}.decoder", adapters.decoder, f"{fields}.encoder", "encoder")
    if start is not None:
        return ("--model.model", f"{networks}.from_pretrained", f"{fields}.source", f"{start}/run/last", *frozen)
    return ("--model.model", f"{networks}.from_backbones", *frozen, *adapters.words(fields))


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


def _scores(shop: Workshop, recipe: RealRecipe, data: RealData, name: str) -> Stage:
    settings = {"code": CODE, "data": data.identity}
    if name == TUNED:
        return Stage(
            name=f"scores-{TUNED}",
            settings={**settings, "words": SETTINGS, "seed": recipe.seed},
            make=lambda folder, report: score_folds(
                folder, shop, PHOTOGRAPHS, held_out(data, folder)["clips"], seed=recipe.seed
            ),
            needs=(PHOTOGRAPHS,),
        )
    return Stage(
        name=f"scores-{name}",
        settings=settings,
        make=lambda folder, report: measure(
            folder, shop.folder(f"{name}/run/last"), held_out(data, shop.folder("photographs/files/pictures"))
        ),
        needs=(name, "photographs"),
    )


def _ship(folder: Path, shop: Workshop, recipe: RealRecipe, data: RealData) -> Report:
    """Write what is shipped: the encoder in float16, and the language model and adapters in 8 bits, so that all fit;
    and report.md, the scores of all captioners and captions of the best that nobody has selected."""
    shipped = copy_backbones(folder, {"decoder": OPT, "encoder": ENCODER}, shop)
    small = Backbones(
        decoder=SHIPPED_SCHEME + OPT, encoder=SHIPPED_SCHEME + ENCODER, fingerprint=_in_8_bits(shipped / OPT)
    )
    for backbone, page in ((ENCODER, ENCODER_PAGE), (OPT, DECODER_PAGE)):
        write_text(shipped / backbone / CARD_FILE, page)
    reports = {name: shop.reports[f"scores-{name}"]["scores"] for name in scored(recipe, data)}
    others = {LARGE: Backbones(decoder=recipe.large.decoder, encoder=small.encoder)} if recipe.large else {}
    splits = {"photographs": ("flickr8k", "test"), "clips": ("panda-70m samples", f"{len(data.clips)} clips")}
    rows = []
    for name in (name for name in SHIPPED if name in reports):
        backbones = others.get(name, small)
        scores = [
            {
                **{"dataset": dataset, "split": split},
                **{"metrics": metrics_of(reports[name][f"{where}, greedy"]), "command": COMMAND},
            }
            for where, (dataset, split) in splits.items()
        ]
        results = {
            "regime": ROWS[name],
            "data": {"corpus": "flickr8k", "videos": shop.reports["photographs"]["train"]},
            "split": "test",
            "scores": scores[0]["metrics"],
            "intervals": reports[name]["photographs, greedy"]["intervals"],
            "videos": shop.reports["photographs"]["test"],
            "unit": "photographs",
            "trained_on": _learned_from(name, shop.reports["photographs"]["train"], data),
            "license": LICENSE,
            "command": COMMAND,
        }
        save_captioner(shop.folder(f"{name}/run/last"), shipped / name, backbones, results, int8=True)
        rows.append(
            {
                **row_of(shipped / name, backbones, ROWS[name]),
                "config": "pseudocap/zoo/real.py",
                "scores": scores,
                "license": LICENSE,
                "made_by": {"command": COMMAND, "seed": recipe.seed, "commit": commit()},
            }
        )
    learned = _learned_from(real_search.SEARCH, shop.reports["photographs"]["train"], data)
    rows.append(real_search.ship_search(shipped, small, shop=shop, recipe=recipe, splits=splits, learned=learned))
    table = list(score_table(reports))
    captioned = {name: shop.folder(f"scores-{name}") for name in SHIPPED if name in reports}
    lines = [
        *table,
        "",
        *search_table(shop.reports[f"scores-{real_search.SEARCH}"]["scores"]),
        *(line for where, files in held_out(data, folder).items() for line in sheet(captioned, where, files)),
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    return finish(folder, rows, REAL_LIMIT) | {"table": table}


def _learned_from(name: str, photographs: int, data: RealData) -> list[str]:
    clips = len(data.clips) if name in (MIXED, VIDEO) else 0
    photographs = 0 if name == VIDEO else photographs
    return list(trained_on(photographs=photographs, clips=clips, own_decoder=name != LARGE))


def _in_8_bits(folder: Path) -> str:
    """Store a language model in a byte for each weight, and return the fingerprint that it has then."""
    file = folder / "model.safetensors"
    mode, small = file.stat().st_mode, in_8_bits(read_tensors(file))
    safetensors.torch.save_file(small, file, metadata={"format": "pt"})
    file.chmod(mode)  # safetensors gives its files to their owner alone
    return load_decoder(folder).identity.fingerprint
