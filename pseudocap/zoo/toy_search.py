"""Build the retriever of the toy world: trained on pseudolabels of the training films alone, and compared with the same
training on people's captions of these films, and on pseudolabels and transcripts of the talking films."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pseudocap.files.atomic import write_text
from pseudocap.regimes.table import RETRIEVAL
from pseudocap.stages import Stage, Workshop, command_text, commit
from pseudocap.types import Progress
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.search import (
    Report,
    recalls_of,
    retriever_row,
    score_retrievers,
    search_table,
    ship_retriever,
    training_stage,
)
from pseudocap.zoo.ship import DATASET, Backbones

SEARCH = "toy-search"
LABELS, FILMS, PEOPLE = "labels-films", "memories-films", "memories-people"  # of the same training films
MEMORIES = {  # that each has learned from
    SEARCH: FILMS,
    "search-people": PEOPLE,
    "search-talking": "memories",
    "search-asr": "memories-asr",
}
LABELLING = ("--clip-seconds", "5", "--top-p", "0.9", "--temperature", "0.5", "--captions", "5", "--min-words", "1")
COMMAND = "pseudocap zoo build"
VIDEOS = "world/msrvtt/videos"


def stages(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List the labels, the memories and the trainings, and the stage that searches the test films with all of them."""
    each = ("--workers", str(workers))

    def label(folder: Path, report: Progress) -> Report:
        files = [f"../{VIDEOS}/{row['video']}.mp4" for row in _learned(shop.root)]
        write_text(folder / "films.txt", "".join(f"{file}\n" for file in files))
        words = ("label", f"{LABELS}/films.txt", "--teacher", "teacher", *LABELLING)
        shop.verb(*words, "--out", f"{LABELS}/run", "--seed", str(recipe.seed), *each)
        shop.verb("pack", f"{LABELS}/run", "--out", f"{LABELS}/clips", *each)
        return {"command": command_text(words), "films": len(files)}

    def encode(folder: Path, report: Progress) -> Report:
        source: tuple[str, ...] = (f"{LABELS}/clips",)
        if folder.name == PEOPLE:
            rows = (f"{json.dumps(row)}\n" for row in _learned(shop.root))
            write_text(folder / "captions.jsonl", "".join(rows))
            source = (f"{PEOPLE}/captions.jsonl", "--videos", VIDEOS)
        shop.verb("encode", *source, "--encoder", "watcher", "--out", f"{folder.name}/store", *each)
        return {}

    return [
        Stage(name=LABELS, settings={"words": LABELLING, "seed": recipe.seed}, make=label, needs=("world", "teacher")),
        Stage(name=FILMS, settings={"code": 1}, make=encode, needs=(LABELS, "watcher")),
        Stage(name=PEOPLE, settings={"code": 1}, make=encode, needs=("world", "watcher")),
        *(
            training_stage(
                shop,
                recipe.search,
                name,
                data=("--data.videos", f"{memories}/store"),
                text="writer",
                encoder="watcher",
                needs=(memories,),
                seed=recipe.seed,
            )
            for name, memories in MEMORIES.items()
        ),
        Stage(
            name=f"scores-{SEARCH}",
            settings={"code": 1},
            make=lambda folder, report: score_retrievers(
                shop, folder / "films", "captions.jsonl", VIDEOS, {name: f"{name}/{name}" for name in MEMORIES}
            ),
            needs=("world", *MEMORIES),
        ),
    ]


def _learned(root: Path) -> list[dict[str, Any]]:
    """Return the rows of the training films."""
    lines = (root / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == "train"]


def ship_search(shipped: Path, backbones: Backbones, *, shop: Workshop, recipe: ZooRecipe) -> dict[str, Any]:
    """Save the retriever as it is shipped, and return its row."""
    measured = shop.reports[f"scores-{SEARCH}"]
    figures, films = measured["retrievers"][SEARCH], shop.reports[LABELS]["films"]
    results = {
        "regime": RETRIEVAL.name,
        "data": {"corpus": DATASET},
        "split": "test",
        "scores": recalls_of(figures),
        "intervals": recalls_of(figures, "interval"),
        "videos": measured["videos"],
        "trained_on": [f"Pseudolabels of {films:,} drawn films by toy-blip; no caption that a person wrote."],
        "license": "Apache-2.0",
        "command": measured["command"],
    }
    ship_retriever(shop.folder(f"{SEARCH}/run/last"), shipped / SEARCH, backbones, results, "Apache-2.0")
    return retriever_row(
        shipped / SEARCH,
        backbones,
        config="pseudocap/zoo/toy_search.py",
        scores=[{"dataset": DATASET, "split": "test", "metrics": recalls_of(figures), "command": COMMAND}],
        license="Apache-2.0",
        made_by={"command": COMMAND, "seed": recipe.seed, "commit": commit()},
    )


def table(shop: Workshop) -> list[str]:
    return list(search_table({"films": shop.reports[f"scores-{SEARCH}"]}))
