"""Prepare what `bench mined` and `bench ablation mining` stand on: the toy networks that the package ships, talking
films with pseudolabels and transcripts, stills to mine with, and a few captions of people to fine-tune on.

No zoo needs to be built: its own stages are taken, over copies of the shipped networks.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pseudocap.bench.claims.cells import Ground, fewer
from pseudocap.bench.claims.identities import files_identity
from pseudocap.files.atomic import write_text
from pseudocap.files.sources import SHIPPED_SCHEME, resolve_source
from pseudocap.label.schema import read_labels, write_labels
from pseudocap.mine.contents import count_contents
from pseudocap.mine.seeds import SeedPicture
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.formats import SHARD
from pseudocap.toyworld.truth import judge
from pseudocap.types import Progress, Pseudolabel
from pseudocap.zoo.baselines import ToyFilm, hallucinations, held_out_films, truth, verdicts_on_labels
from pseudocap.zoo.build import stages as zoo_stages
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.ship import BLIP, OPT, TIMESFORMER

CODE = 1  # raised when the code of a stage makes other results of the same settings
NETWORKS = {"writer": OPT, "watcher": TIMESFORMER, "teacher": BLIP}  # by the stage of a zoo that would train them
FROM_ZOO = ("world", "labels", "labels-asr", "views")
STILLS, FILMS, VIDEOS = "world/stills", "world/talking/videos", "world/msrvtt/videos"
FEW, MEMORIES = "few", "memories-few"
ENCODING = ("--encoder", "watcher", "--out")
Report = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class MinedRecipe:
    """Set how mining is done, how many examples each kind of captions gives, how many captions of people there are to
    fine-tune on, and how long everything learns."""

    mining: tuple[str, ...] = ("--pooling", "max", "--threshold", "0.95", "--span", "10", "--top", "10")
    thresholds: tuple[float, ...] = (0.9, 0.92, 0.94, 0.95, 0.96, 0.97)  # of the ablation, at the span above, ...
    spans: tuple[int, ...] = (5, 20, 30)  # ... and its spans at the threshold above
    examples: int = 1500
    captions: int = 100
    plan: TrainingPlan = field(
        default_factory=lambda: TrainingPlan(tuning_batch=12, tuning_epochs=12, tuning_patience=12)
    )
    search_steps: int = 200
    search_tuning: tuple[str, ...] = ("--lr", "5e-4", "--batch-size", "32", "--max-epochs", "20", "--patience", "20")


MINED_RECIPE = MinedRecipe()
MINED_SMOKE_RECIPE = MinedRecipe(
    mining=("--pooling", "max", "--threshold", "0.8", "--span", "10", "--top", "3"),
    thresholds=(0.7,),
    spans=(5,),
    examples=8,
    captions=4,
    plan=TrainingPlan(steps=2, batch=2, warmup=1, tuning_batch=4, tuning_epochs=1, tuning_patience=1),
    search_steps=2,
    search_tuning=("--batch-size", "4", "--max-epochs", "1"),
)


def mining_ground(
    shop: Workshop, recipe: ZooRecipe, mined: MinedRecipe, *, workers: int = 2
) -> tuple[Ground, list[Stage]]:
    """Return the ground of the cells, and the stages that make it, mining among them."""
    zoo = {stage.name: stage for stage in zoo_stages(shop, recipe, workers)}

    @cache
    def films() -> list[ToyFilm]:
        return held_out_films(shop.root, recipe.seed)

    ground = Ground(
        decoder="writer",
        encoder="watcher",
        captions=f"{FEW}/captions.jsonl",
        memories=MEMORIES,
        views="views",
        films=films,
        judge=lambda captions: hallucinations(captions, films()),
        streams={},
        needs={},
    )
    return ground, [
        *(_shipped(name, shipped) for name, shipped in NETWORKS.items()),
        *(zoo[name] for name in FROM_ZOO),
        _few_captions(shop, mined.captions, recipe.seed),
        encoding_stage(shop, MEMORIES, (ground.captions, "--videos", VIDEOS), needs=(FEW,), workers=workers),
        mining_stage(shop, "mined", mined.mining, seed=recipe.seed, workers=workers),
    ]


def _shipped(name: str, shipped: str) -> Stage:
    """Copy a network of the package, under the name that a zoo's stages know it by."""
    address = f"{SHIPPED_SCHEME}{shipped}"

    def copy(folder: Path, report: Progress) -> Report:
        shutil.copytree(resolve_source(address), folder, dirs_exist_ok=True)
        return {"copied from": address}

    return Stage(name=name, settings={"source": address, "files": files_identity(address)}, make=copy)


def _few_captions(shop: Workshop, count: int, seed: int) -> Stage:
    """Write the few captions of people to learn from, a video each, with all of the validation."""

    def write(folder: Path, report: Progress) -> Report:
        lines = (shop.root / "captions.jsonl").read_text(encoding="utf-8").splitlines()
        of = {split: [row for row in map(json.loads, lines) if row["split"] == split] for split in ("train", "val")}
        chosen = fewer(of["train"], min(count, sum(len(row["caption"]) for row in of["train"])), seed=seed)
        write_text(folder / "captions.jsonl", "".join(f"{json.dumps(row)}\n" for row in (*chosen, *of["val"])))
        return {"videos": len(chosen), "captions": sum(len(row["caption"]) for row in chosen)}

    return Stage(name=FEW, settings={"code": CODE, "captions": count, "seed": seed}, make=write, needs=("world",))


def encoding_stage(
    shop: Workshop, name: str, source: Sequence[str], *, needs: Sequence[str], workers: int, packed: str | None = None
) -> Stage:
    """Encode what the cells learn from, once; labels, named by `packed`, are cut into clips first."""

    def encode(folder: Path, report: Progress) -> Report:
        each = ("--workers", str(workers))
        if packed is not None:
            shop.verb("pack", packed, "--out", f"{name}/clips", *each)
        shop.verb("encode", *source, *ENCODING, f"{name}/store", *each)
        return {}

    return Stage(name=name, settings={"code": CODE, "source": source}, make=encode, needs=(*needs, "watcher"))


def mining_stage(
    shop: Workshop, name: str, words: Sequence[str], *, seed: int, workers: int, index: str | None = None
) -> Stage:
    """Mine the talking films with the stills. `index` names a stage that has mined by the same encoder: its vectors of
    frames and stills are taken. The report has what was mined, and how much of it is true of the scenes."""
    frames = index or name
    command = ("mine", FILMS, "--seeds", STILLS, *ENCODING[:2], "--out", f"{name}/run", *words)

    def mine(folder: Path, report: Progress) -> Report:
        if index is not None:
            shutil.copytree(shop.folder(index) / "run" / "seeds", folder / "run" / "seeds", dirs_exist_ok=True)
        shop.verb(*command, "--frame-index", f"{frames}/frames", "--workers", str(workers))
        found = count_contents(folder / "run")
        labels = usable_labels(folder / "run")
        return {
            "command": command_text(command),
            "pairs": found.captions.total(),
            "clips": len(found.clips),
            "hours": round(found.hours, 3),
            "captions": len(found.captions),
            "seeds": len({label.parent for label in labels}),
            "truth": truth(verdicts_on_labels(labels, seed)),
        }

    needs = ("world", "watcher", *(() if index is None else (index,)))
    return Stage(name=name, settings={"code": CODE, "words": words, "seed": seed}, make=mine, needs=needs)


def usable_labels(run: Path) -> list[Pseudolabel]:
    """Return the labels of a run that can be learned from."""
    return [label for label in read_labels(run) if label.kept and label.caption]


def draw_labels(labels: Sequence[Pseudolabel], count: int, folder: Path, *, seed: int) -> list[Pseudolabel]:
    """Draw labels at random, all where there are fewer, and write them in their order."""
    chosen = sorted(random.Random(seed).sample(range(len(labels)), min(count, len(labels))))
    drawn = [labels[number] for number in chosen]
    folder.mkdir(parents=True, exist_ok=True)
    write_labels(folder / "000000.parquet", drawn, root="")
    return drawn


def draw_stills(pictures: Sequence[SeedPicture], count: int, folder: Path, *, seed: int) -> dict[str, float]:
    """Draw stills at random, and write them with their captions; return how true these are."""
    verdicts, rows = [], []
    folder.mkdir(parents=True, exist_ok=True)
    for number in sorted(random.Random(seed).sample(range(len(pictures)), min(count, len(pictures)))):
        picture = pictures[number]
        name = Path(picture.name).name
        (folder / name).write_bytes(picture.content())
        rows.append({"video": name, "caption": list(picture.captions), "split": "train"})
        index = divmod(int(Path(name).stem), 10_000)
        film = film_at("stills", "train", index[0] * SHARD + index[1], seed=seed)
        verdicts.append(judge(picture.captions[0], film.shots))
    write_text(folder / "captions.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    return truth(verdicts)


def smaller(recipe: ZooRecipe, steps: int) -> ZooRecipe:
    """Return the recipe with a retriever that learns for so many steps."""
    training = replace(recipe.search.training, steps=steps, warmup=min(recipe.search.training.warmup, steps // 2))
    return replace(recipe, search=replace(recipe.search, training=training))
