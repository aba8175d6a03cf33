"""Ask whether mined captions teach: `pseudocap bench mined`.

A captioner and a retriever learn from each of four kinds of captions: mined ones, pseudolabels and transcripts of clips
of the same talking films, and the stills that were mined with; all from equally many examples, for equally many steps.
Both are measured on test films before and after fine-tuning on a few captions of people; `none` is not pre-trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pseudocap.bench.claims.cells import Cell, Ground, cell_stages
from pseudocap.bench.claims.mining_ground import (
    CODE,
    FEW,
    MEMORIES,
    STILLS,
    VIDEOS,
    MinedRecipe,
    Report,
    draw_labels,
    draw_stills,
    encoding_stage,
    mining_ground,
    smaller,
    usable_labels,
)
from pseudocap.bench.claims.regimes import Bench
from pseudocap.evaluate.views import PLAIN, read_views
from pseudocap.files.atomic import write_text
from pseudocap.metrics.retrieval import NAMES, BothDirections, Products, score_both_directions
from pseudocap.mine.seeds import find_seeds
from pseudocap.regimes.table import ASR, IMAGE_ONLY, REGIMES, STREAM_OPTIONS, UNTRAINED, VIDEO_ONLY
from pseudocap.retriever import Retriever
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.types import Progress
from pseudocap.zoo.baselines import truth, verdicts_on_labels
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.search import training_stage

MINED, PSEUDOLABELS, TRANSCRIPTS, PICTURES = "mined", "pseudolabels", "asr", "stills"
ARMS = {MINED: VIDEO_ONLY, PSEUDOLABELS: VIDEO_ONLY, TRANSCRIPTS: ASR, PICTURES: IMAGE_ONLY, UNTRAINED: UNTRAINED}
RUNS = {MINED: "mined/run", PSEUDOLABELS: "labels/run", TRANSCRIPTS: "labels-asr/run"}
EXAMPLES, RECALLED = "examples", "recalled.json"
BEFORE, AFTER = "zero-shot", "fine-tuned"
CUTOFF = 10  # of the recall that claims are judged by


@dataclass(frozen=True, kw_only=True)
class MinedBench(Bench):
    """Hold what is to be done: by arm and seed a cell, and the stages of a retriever, the last of which searches."""

    of: Mapping[tuple[str, int], tuple[Cell, Sequence[Stage]]]
    recipe: MinedRecipe

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(seed for _, seed in self.of))

    @property
    def stages(self) -> list[Stage]:
        """Return all stages, seed by seed, so that a run that is stopped early has complete seeds."""
        each = [(*cell_stages(self.shop, self.ground, [cell]), *searches) for cell, searches in self.of.values()]
        return [*self.made_first, *(stage for stages in each for stage in stages)]


def mined_bench(
    shop: Workshop, recipe: ZooRecipe, mined: MinedRecipe, *, seeds: Sequence[int], workers: int = 2
) -> MinedBench:
    """Plan the benchmark."""
    ground, made_first = mining_ground(shop, recipe, mined, workers=workers)
    made_first += [_examples(shop, mined.examples, recipe.seed), *(_memories(shop, arm, workers) for arm in _taught())]
    retrieval = smaller(recipe, mined.search_steps)
    of = {
        (arm, seed): (_cell(arm, seed, mined), _search_stages(shop, retrieval, mined, ground, arm, seed))
        for seed in seeds
        for arm in ARMS
    }
    return MinedBench(
        shop=shop,
        ground=ground,
        made_first=made_first,
        cells=[cell for cell, _ in of.values()],
        corpus="toy-msrvtt",
        duplicates=None,
        shipped=True,
        of=of,
        recipe=mined,
    )


def _taught() -> list[str]:
    return [arm for arm, regime in ARMS.items() if regime != UNTRAINED]


def memories_of(arm: str) -> str:
    return f"memories-{arm}"


def _examples(shop: Workshop, count: int, seed: int) -> Stage:
    """Draw equally many examples of each kind of captions, and hold them against the scenes."""

    def draw(folder: Path, report: Progress) -> Report:
        pictures = find_seeds(str(shop.root / STILLS)).pictures
        rows = {arm: usable_labels(shop.folder(run)) for arm, run in RUNS.items()}
        each = min(count, len(pictures), *map(len, rows.values()))
        shutil.rmtree(folder / PICTURES, ignore_errors=True)
        found: dict[str, object] = {}
        for arm, labels in rows.items():
            drawn = draw_labels(labels, each, folder / arm, seed=seed)
            clips = len({label.clip for label in drawn})
            found[arm] = {"of": len(labels), "clips": clips, "truth": truth(verdicts_on_labels(drawn, seed))}
        stills = draw_stills(pictures, each, folder / PICTURES, seed=seed)
        return {"each": each, "arms": found | {PICTURES: {"of": len(pictures), "truth": stills}}}

    needs = ("world", *(run.partition("/")[0] for run in RUNS.values()))
    return Stage(name=EXAMPLES, settings={"code": CODE, "count": count, "seed": seed}, make=draw, needs=needs)


def _memories(shop: Workshop, arm: str, workers: int) -> Stage:
    name, drawn = memories_of(arm), f"{EXAMPLES}/{arm}"
    if arm == PICTURES:
        source = (f"{drawn}/captions.jsonl", "--images", "--videos", drawn)
        return encoding_stage(shop, name, source, needs=(EXAMPLES,), workers=workers)
    return encoding_stage(shop, name, (f"{name}/clips",), needs=(EXAMPLES,), workers=workers, packed=drawn)


def _cell(arm: str, seed: int, mined: MinedRecipe) -> Cell:
    regime = ARMS[arm]
    words, needs = _data_of(arm) if regime != UNTRAINED else ((), ())
    return Cell(regime=regime, seed=seed, plan=mined.plan, variant=f"from-{arm}", training=words, needs=needs)


def _data_of(arm: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an arm's captioner learns from as options of `pseudocap train`, and the stage that makes it."""
    row, name = REGIMES[ARMS[arm]], memories_of(arm)
    return row.data_words(dict.fromkeys(row.streams, f"{name}/store")), (name,)


def _search_stages(
    shop: Workshop, recipe: ZooRecipe, mined: MinedRecipe, ground: Ground, arm: str, seed: int
) -> list[Stage]:
    """List the training of a retriever, its fine-tuning, and the search of the test films with both."""
    trained, tuned = f"cells/search-{arm}-s{seed}", f"cells/search-tuned-{arm}-s{seed}"
    found = f"cells/searched-{arm}-s{seed}"
    start = f"{trained}/run/last"

    def begin(folder: Path, report: Progress) -> Report:
        text, encoder = shop.root / ground.decoder, shop.root / ground.encoder
        new = Retriever.from_backbones(text=text, encoder=encoder, seed=seed, device="cpu", **recipe.search.towers)
        new.save_pretrained(shop.root / start)
        return {"command": "new towers, not trained"}

    def tune(folder: Path, report: Progress) -> Report:
        words = (
            *("finetune", "--retrieval", "--from", start, "--data", ground.captions, "--videos", VIDEOS),
            *("--memories", f"{MEMORIES}/store", "--out", f"{tuned}/run", *mined.search_tuning),
            *("--seed", str(seed), "--workers", "0", "--json"),
        )
        shutil.rmtree(folder / "run", ignore_errors=True)  # fine-tuning does not go on
        shop.verb(*words)
        return {"command": command_text(words)}

    def search(folder: Path, report: Progress) -> Report:
        checkpoints = {BEFORE: shop.root / start, AFTER: shop.folder(tuned) / "run" / "best"}
        scores = {when: _searched(each, shop.folder(ground.views), ground) for when, each in checkpoints.items()}
        recalled = {when: _recalled(both, len(ground.films())) for when, both in scores.items()}
        write_text(folder / RECALLED, json.dumps(recalled) + "\n")
        return {when: _figures(both) for when, both in scores.items()}

    settings = {"code": CODE, "seed": seed, "towers": recipe.search.towers}
    if ARMS[arm] == UNTRAINED:
        first = Stage(name=trained, settings=settings, make=begin, needs=("writer", "watcher"))
    else:
        option = STREAM_OPTIONS[REGIMES[ARMS[arm]].streams[0]]
        data = (option, f"{memories_of(arm)}/store", "--model.seed", str(seed))
        first = training_stage(
            shop,
            recipe.search,
            trained,
            data=(*data, "--model.model.init_args.seed", str(seed)),
            text=ground.decoder,
            encoder=ground.encoder,
            needs=(memories_of(arm),),
            seed=seed,
        )
    tuning = settings | {"words": mined.search_tuning}
    return [
        first,
        Stage(name=tuned, settings=tuning, make=tune, needs=(trained, FEW, MEMORIES)),
        Stage(name=found, settings={"code": CODE}, make=search, needs=(trained, tuned, ground.views)),
    ]


@torch.inference_mode()
def _searched(checkpoint: Path, views: Path, ground: Ground) -> BothDirections:
    """Search the test films by each of their captions, and the captions by each film, from the films' memories."""
    retriever = Retriever.from_pretrained(checkpoint, device="cpu")
    films = ground.films()
    texts = [caption for film in films for caption in film.references]
    owners = np.repeat(np.arange(len(films)), [len(film.references) for film in films])
    media = retriever.embed_memory(read_views(views)[PLAIN]).pooled.float().numpy()
    return score_both_directions(Products(retriever.embed_text(texts).numpy(), media), owners)


def _recalled(both: BothDirections, films: int) -> list[float]:
    """Return of each film the share of its captions that find it among the first ten, x 100."""
    found = (both.forward.ranks <= CUTOFF).reshape(films, -1)
    shares: list[float] = (100 * found.mean(axis=1)).tolist()
    return shares


def _figures(both: BothDirections) -> dict[str, dict[str, float]]:
    directions = {"text to video": both.forward, "video to text": both.backward}
    return {name: {key: round(scores[key], 3) for key in NAMES} for name, scores in directions.items()}
