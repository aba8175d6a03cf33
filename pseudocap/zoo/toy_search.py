"""Build the retriever of the toy world: trained on pseudolabels alone, and compared with the same training on
transcripts and on people's captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pseudocap.files.atomic import write_text
from pseudocap.regimes.table import RETRIEVAL
from pseudocap.stages import Stage, Workshop, commit
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

SEARCH, PEOPLE = "toy-search", "memories-people"
MEMORIES = {SEARCH: "memories", "search-asr": "memories-asr", "search-people": PEOPLE}  # that each has learned from
COMMAND = "pseudocap zoo build"
FILMS = "world/msrvtt/videos"


def stages(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List the trainings, and the stage that searches the test films with all of them."""

    def encode(folder: Path, report: Progress) -> Report:
        lines = (shop.root / "captions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        learned = [line for line in lines if json.loads(line)["split"] == "train"]
        write_text(folder / "captions.jsonl", "".join(learned))
        words = (f"{folder.name}/captions.jsonl", "--videos", FILMS, "--encoder", "watcher")
        shop.verb("encode", *words, "--out", f"{folder.name}/store", "--workers", str(workers))
        return {"films": len(learned)}

    return [
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
                shop, folder / "films", "captions.jsonl", FILMS, {name: f"{name}/{name}" for name in MEMORIES}
            ),
            needs=("world", *MEMORIES),
        ),
    ]


def ship_search(shipped: Path, backbones: Backbones, *, shop: Workshop, recipe: ZooRecipe) -> dict[str, Any]:
    """Save the retriever as it is shipped, and return its row."""
    measured = shop.reports[f"scores-{SEARCH}"]
    figures = measured["retrievers"][SEARCH]
    results = {
        "regime": RETRIEVAL.name,
        "data": {"corpus": DATASET},
        "split": "test",
        "scores": recalls_of(figures),
        "intervals": recalls_of(figures, "interval"),
        "videos": measured["videos"],
        "trained_on": ["Pseudolabels of drawn films by toy-blip; no caption that a person wrote."],
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
