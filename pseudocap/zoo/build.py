"""Build the shipped zoo from nothing (`pseudocap zoo build`), every stage with fixed seeds.

World -> tokenizer and OPT, TimeSformer, BLIP, AST (on a world of their own) -> pseudolabels by `pseudocap label` ->
memories by `pseudocap encode` -> five regimes by `pseudocap train` -> `pseudocap finetune` -> a retriever
by `pseudocap train retrieval` -> scores -> what is shipped.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.regimes.table import REGIMES, resume_words
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.toyworld.write import SOUNDS, WORLD, write_world
from pseudocap.types import Progress
from pseudocap.zoo import toy_answers, toy_hears, toy_search, toy_valor
from pseudocap.zoo.ast import build_ast
from pseudocap.zoo.baselines import measure_baselines, measure_captioner, measure_labels, write_held_out
from pseudocap.zoo.blip import build_blip
from pseudocap.zoo.opt import build_opt, toy_text
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.ship import ship
from pseudocap.zoo.timesformer import build_timesformer
from pseudocap.zoo.vit import build_vit

Report = Mapping[str, Any]
CODE = 1  # raised when the code of a stage makes other weights of the same recipe
LABELS = {
    "labels": ("--teacher", "teacher"),
    "labels-asr": ("--teacher", "asr", "--transcripts", "world/talking/caption.json"),
}
SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {  # of memories: the stage that makes it, and the words of `encode`
    "memories-stills": ("world", ("world/stills", "--images")),
    "memories": ("labels", ("labels/clips",)),
    "memories-asr": ("labels-asr", ("labels-asr/clips",)),
    "memories-msrvtt": ("world", ("captions.jsonl", "--videos", "world/msrvtt/videos")),
}
MEMORIES = {"asr": "memories-asr", "images": "memories-stills", "clips": "memories"}  # of each stream


def stages(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List everything that is made below the workshop's root; `root/zoo` is shipped."""
    home = shop.root
    tuned = [f"tuned-{regime}" for regime in REGIMES]
    trained = [f"trained-{regime}" for regime in REGIMES]
    return [
        *_backbones(shop, recipe, workers),
        *_labelling(shop, recipe, workers),
        *_memories(shop, workers),
        Stage(
            name="views",
            settings={"code": CODE},
            make=lambda folder, report: write_held_out(folder, home, home / "watcher", recipe.seed),
            needs=("world", "watcher"),
        ),
        *(stage for regime in REGIMES for stage in _regime(shop, recipe, regime)),
        *toy_search.stages(shop, recipe, workers),
        *toy_hears.stages(shop, recipe, workers),
        *toy_valor.stages(shop, recipe),
        *toy_answers.stages(shop, recipe),
        Stage(
            name="yardsticks",
            settings={"code": CODE},
            make=lambda folder, report: measure_baselines(home, recipe.seed),
            needs=("world",),
        ),
        Stage(
            name="zoo",
            settings={"code": CODE},
            make=lambda folder, report: ship(
                folder,
                shop,
                recipe,
                others=[
                    partial(each, shop=shop, recipe=recipe)
                    for each in (toy_search.ship_search, toy_hears.ship_hears, toy_valor.ship_valor)
                ],
                tables=(toy_search.table(shop), toy_hears.table(shop), toy_answers.table(shop)),
            ),
            needs=(
                *(*tuned, *trained, "teacher", "ast", "yardsticks", "labels"),
                *(f"scores-{name}" for name in (toy_search.SEARCH, toy_hears.HEARS, f"{toy_hears.HEARS}-msrvtt")),
                toy_valor.TOY,
                f"scores-{toy_answers.ANSWERS}",
            ),
        ),
    ]


def _backbones(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List the stages of two drawn worlds, and of the frozen networks that have seen only the first of them."""
    home, world = shop.root, {"world": WORLD, "code": CODE, "scale": recipe.scale, "size": recipe.size}
    seed = recipe.seed
    return [
        Stage(
            name="world-backbones",
            settings=world | {"seed": seed + 1},
            make=partial(make_world, recipe=recipe, corpora=("clips",), seed=seed + 1, workers=workers),
        ),
        Stage(
            name="world",
            settings=world | {"seed": seed},
            make=partial(
                make_world, recipe=recipe, corpora=("stills", "talking", "msrvtt"), seed=seed, workers=workers
            ),
        ),
        Stage(
            name="writer",
            settings=world | dataclasses.asdict(recipe.text) | dataclasses.asdict(recipe.opt) | {"seed": seed + 1},
            make=lambda folder, report: build_opt(
                folder, recipe.opt, *toy_text(recipe.text, seed + 1), seed=seed + 1, progress=report
            ),
        ),
        Stage(
            name="eye",
            settings=world | dataclasses.asdict(recipe.vit) | {"seed": seed + 1},
            make=lambda folder, report: build_vit(folder, recipe.vit, seed=seed + 1, progress=report),
        ),
        Stage(
            name="watcher",
            settings=dataclasses.asdict(recipe.timesformer),
            make=lambda folder, report: build_timesformer(
                folder,
                home / "world-backbones" / "clips",
                home / "eye",
                recipe.vit,
                recipe.timesformer,
                seed=seed + 1,
                progress=report,
            ),
            needs=("world-backbones", "eye"),
        ),
        Stage(
            name="teacher",
            settings=world | dataclasses.asdict(recipe.teacher) | {"seed": seed + 1},
            make=lambda folder, report: build_blip(
                folder, home / "eye", recipe.vit, recipe.teacher, seed=seed + 1, progress=report
            ),
            needs=("eye",),
        ),
        Stage(
            name="ast",
            settings={"world": WORLD, "sounds": SOUNDS, "code": CODE, "seed": seed + 1}
            | dataclasses.asdict(recipe.ast),
            make=lambda folder, report: build_ast(folder, recipe.ast, seed=seed + 1, progress=report),
        ),
    ]


def make_world(
    folder: Path, report: Progress, *, recipe: ZooRecipe, corpora: tuple[str, ...], seed: int, workers: int
) -> Report:
    """Write corpora below `folder`, and beside it MSR-VTT's captions as a user's own. A world must have a folder of its
    own, so it lies beside the stage's marks."""
    manifest = write_world(
        folder / "files",
        scale=recipe.scale,
        corpora=corpora,
        size=recipe.size,
        seed=seed,
        workers=workers,
        progress=lambda what, done, total: report(done, total),
    )
    for corpus in corpora:
        link = folder / corpus
        if not link.is_symlink():
            link.symlink_to(Path("files") / corpus, target_is_directory=True)
    if "msrvtt" in corpora:
        write_captions(folder / "msrvtt" / "annotations", folder.parent / "captions.jsonl")
    return {"corpora": {name: each["films"] for name, each in manifest["corpora"].items()}}


def write_captions(annotations: Path, path: Path) -> None:
    """Write MSR-VTT's annotations in the form of a user's own captions, with the splits that they have."""
    rows = [
        {"video": row.video, "caption": list(row.captions), "split": row.split}
        for row in read_msrvtt(annotations, allow_partial=True).rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _labelling(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    def label(folder: Path, report: Progress, *, name: str) -> Report:
        run = ("--out", f"{name}/run", "--seed", str(recipe.seed), "--workers", str(workers), "--min-words", "1")
        shop.verb("label", "world/talking/videos", *LABELS[name], *run)
        shop.verb("pack", f"{name}/run", "--out", f"{name}/clips", "--workers", str(workers))
        return measure_labels(folder / "run", shop.root / "world" / "talking", recipe.seed)

    return [
        Stage(
            name=name,
            settings={"code": CODE, "words": LABELS[name], "seed": recipe.seed},
            make=partial(label, name=name),
            needs=("world", *(("teacher",) if name == "labels" else ())),
        )
        for name in LABELS
    ]


def _memories(shop: Workshop, workers: int) -> list[Stage]:
    def encode(folder: Path, report: Progress, *, source: tuple[str, ...]) -> Report:
        name = folder.name
        shop.verb("encode", *source, "--encoder", "watcher", "--out", f"{name}/store", "--workers", str(workers))
        return {"bytes": sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())}

    return [
        Stage(
            name=name,
            settings={"code": CODE, "source": source},
            make=partial(encode, source=source),
            needs=("watcher", need),
        )
        for name, (need, source) in SOURCES.items()
    ]


def _regime(shop: Workshop, recipe: ZooRecipe, regime: str) -> list[Stage]:
    """List the stages of pre-training and fine-tuning, with the same settings for every regime."""
    plan = recipe.regime
    of = {"code": CODE, "regime": regime, "seed": recipe.seed}

    def train(folder: Path, report: Progress) -> Report:
        words = training_words(recipe, regime)
        resume = resume_words(folder / "run")
        shop.verb(*words, *resume)
        return {"command": command_text(words)}

    def tune(folder: Path, report: Progress) -> Report:
        words = tuning_words(recipe, regime)
        shutil.rmtree(folder / "run", ignore_errors=True)  # fine-tuning does not go on; it takes minutes
        shop.verb(*words)
        scores = measure_captioner(folder / "run" / "best", shop.root, recipe.seed)
        return {"command": command_text(words), **scores}

    return [
        Stage(
            name=f"trained-{regime}",
            settings=of | plan.settings(tuning=False),
            make=train,
            needs=("writer", "watcher", *(MEMORIES[stream] for stream in REGIMES[regime].streams)),
        ),
        Stage(
            name=f"tuned-{regime}",
            settings=of | plan.settings(tuning=True),
            make=tune,
            needs=(f"trained-{regime}", "memories-msrvtt", "views"),
        ),
    ]


def data_words(regime: str) -> tuple[str, ...]:
    """Return what a regime learns from, as the words of `pseudocap train`."""
    return REGIMES[regime].data_words({stream: f"{folder}/store" for stream, folder in MEMORIES.items()})


def training_words(recipe: ZooRecipe, regime: str) -> tuple[str, ...]:
    out = f"trained-{regime}/run"
    words = recipe.regime.training_words(regime, seed=recipe.seed, decoder="writer", encoder="watcher", out=out)
    return (*words, *data_words(regime))


def tuning_words(recipe: ZooRecipe, regime: str) -> tuple[str, ...]:
    return recipe.regime.tuning_words(
        start=f"trained-{regime}/run/last",
        captions="captions.jsonl",
        memories="memories-msrvtt/store",
        out=f"tuned-{regime}/run",
        seed=recipe.seed,
    )
