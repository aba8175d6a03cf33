"""Build the retriever of photographs: trained on people's captions, and compared with captions searched as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.files.atomic import write_text
from pseudocap.regimes.table import RETRIEVAL
from pseudocap.stages import Stage, Workshop, commit
from pseudocap.types import Progress
from pseudocap.zoo.real_data import RealData
from pseudocap.zoo.real_pages import COMMAND, LICENSE
from pseudocap.zoo.recipe import RealRecipe
from pseudocap.zoo.search import (
    CODE,
    Report,
    recalls_of,
    retriever_row,
    score_retrievers,
    ship_retriever,
    training_stage,
)
from pseudocap.zoo.ship import Backbones

SEARCH = "real-search"


def stages(shop: Workshop, recipe: RealRecipe, data: RealData, *, captioner: str) -> list[Stage]:
    """List the stages of the retriever, and of its scores beside captions of a captioner that are searched as text."""
    compared = {SEARCH: f"{SEARCH}/{SEARCH}", f"captions of {captioner}": f"{captioner}/run/last+decoder"}

    def score(folder: Path, report: Progress) -> Report:
        clips = ({"video": each.video, "caption": list(each.captions), "split": "test"} for each in data.clips)
        write_text(folder / "clips.jsonl", "".join(f"{json.dumps(row)}\n" for row in clips))
        below: dict[str, tuple[str, str | Path]] = {
            "photographs": ("photographs/files/test.jsonl", "photographs/files/pictures"),
            "clips": (f"{folder.name}/clips.jsonl", data.root.resolve() / "real_clips"),
        }
        return {
            "scores": {
                where: score_retrievers(shop, folder / where, captions, files, compared)
                for where, (captions, files) in below.items()
            }
        }

    return [
        training_stage(
            shop,
            recipe.search,
            SEARCH,
            data=("--data.images", "memories/store", "--data.image_batch_factor", "1"),
            text="decoder",
            encoder="encoder",
            needs=("memories",),
            seed=recipe.seed,
        ),
        Stage(
            name=f"scores-{SEARCH}",
            settings={"code": CODE, "data": data.identity},
            make=score,
            needs=(SEARCH, captioner, "photographs"),
        ),
    ]


def ship_search(
    shipped: Path,
    backbones: Backbones,
    *,
    shop: Workshop,
    recipe: RealRecipe,
    splits: Mapping[str, tuple[str, str]],
    learned: Sequence[str],
) -> dict[str, Any]:
    """Save the retriever as it is shipped, and return its row. `splits` are what it was scored on, `learned` is what it
    has learned from."""
    measured = shop.reports[f"scores-{SEARCH}"]["scores"]
    figures = {where: measured[where]["retrievers"][SEARCH] for where in splits}
    results = {
        "regime": RETRIEVAL.name,
        "data": {"corpus": "flickr8k", "videos": shop.reports["photographs"]["train"]},
        "split": "test",
        "scores": recalls_of(figures["photographs"]),
        "intervals": recalls_of(figures["photographs"], "interval"),
        "videos": measured["photographs"]["videos"],
        "unit": "photographs",
        "trained_on": learned,
        "license": LICENSE,
        "command": COMMAND,
    }
    ship_retriever(shop.folder(f"{SEARCH}/run/last"), shipped / SEARCH, backbones, results, LICENSE)
    scores = [
        {"dataset": dataset, "split": split, "metrics": recalls_of(figures[where]), "command": COMMAND}
        for where, (dataset, split) in splits.items()
    ]
    return retriever_row(
        shipped / SEARCH,
        backbones,
        config="pseudocap/zoo/real_search.py",
        scores=scores,
        license=LICENSE,
        made_by={"command": COMMAND, "seed": recipe.seed, "commit": commit()},
    )
