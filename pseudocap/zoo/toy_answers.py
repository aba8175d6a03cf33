"""Build the captioner of the toy world that answers, fine-tuned from the one that hears on questions about films that
sound; and compare its answers by sight and sound, by either, and without the film."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from pseudocap.captioner import PseudoCap
from pseudocap.data.corpora.video_qa import read_msrvtt_qa
from pseudocap.data.memories.source import MemorySource
from pseudocap.evaluate.answers import SAMPLES, answer_rows, majority_answers, score_rows
from pseudocap.evaluate.views import without_senses
from pseudocap.files.atomic import write_text
from pseudocap.memory import GROUPS, Memory
from pseudocap.metrics.answers import AnswerScores, summarise
from pseudocap.stages import Stage, Workshop, command_text
from pseudocap.toyworld import formats
from pseudocap.toyworld.corpora import recipe_of
from pseudocap.types import Progress
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.search import Report
from pseudocap.zoo.toy_hears import HEARS, MEMORIES, VIDEOS

ANSWERS, QUESTIONS = "toy-answers", "questions"
ANNOTATIONS = f"{QUESTIONS}/annotations"
WITHOUT, MAJORITY = "without the film", "the most frequent answer"
VIEWS: dict[str, Callable[[Memory], Memory]] = {
    **{group.upper(): methodcaller("only", group) for group in GROUPS},
    WITHOUT: lambda memory: [*without_senses(memory).values()][-1],
}


def stages(shop: Workshop, recipe: ZooRecipe) -> list[Stage]:
    """List the questions, the training of every seed with its answers in each view, and what these are worth."""
    names = [f"{ANSWERS}-{seed}" for seed in recipe.answers.seeds]

    def ask(folder: Path, report: Progress) -> Report:
        formats.write_questions(folder / "annotations", recipe_of("qa"), recipe.scale, recipe.seed)
        return {split: each["videos"] for split, each in read_questions(shop.root).counts.items()}

    def tune(folder: Path, report: Progress) -> Report:
        words = tuning_words(recipe, folder.name)
        shutil.rmtree(folder / "run", ignore_errors=True)  # fine-tuning does not go on; it takes minutes
        shop.verb(*words)
        return {"command": command_text(words), **answer_views(folder, shop.root)}

    return [
        Stage(name=QUESTIONS, settings={"code": 1, "scale": recipe.scale, "seed": recipe.seed}, make=ask),
        *(
            Stage(
                name=name,
                settings={"code": 1, "words": tuning_words(recipe, name)},
                make=tune,
                needs=(QUESTIONS, MEMORIES, name.replace(ANSWERS, HEARS)),
            )
            for name in names
        ),
        Stage(
            name=f"scores-{ANSWERS}",
            settings={"code": 1},
            make=lambda folder, report: compare_answers([shop.folder(name) for name in names], shop.root),
            needs=(QUESTIONS, *names),
        ),
    ]


def read_questions(root: Path) -> Any:
    return read_msrvtt_qa(root / ANNOTATIONS, allow_partial=True)


def tuning_words(recipe: ZooRecipe, name: str) -> tuple[str, ...]:
    """Return the arguments of `pseudocap finetune` of `toy-answers-SEED`."""
    plan, seed = recipe.answers, name.rpartition("-")[2]
    return (
        *("finetune", "--from", f"{HEARS}-{seed}/run/best", "--data", f"msrvtt-qa:{ANNOTATIONS}", "--allow-partial"),
        *("--videos", VIDEOS, "--memories", f"{MEMORIES}/store", "--out", f"{name}/run", "--lr", str(plan.lr)),
        *("--batch-size", str(plan.batch), "--max-epochs", str(plan.epochs), "--patience", str(plan.epochs)),
        *("--modality-groups", plan.groups, "--seed", seed, "--workers", "0", "--json"),
    )


def answer_views(folder: Path, root: Path) -> dict[str, Any]:
    """Answer the test questions in every view, keep the answers beside the run, and return the accuracies."""
    rows = read_questions(root).split("test").rows
    memories = MemorySource(root / MEMORIES / "store")
    model = PseudoCap.from_pretrained(folder / "run" / "best", device="cpu")
    answers = {name: answer_rows(model, rows, memories, view) for name, view in VIEWS.items()}
    write_text(folder / "answers.json", json.dumps(answers, indent=1) + "\n")
    return {name: score_rows(each, rows).to_dict() for name, each in answers.items()}


def compare_answers(folders: Sequence[Path], root: Path) -> dict[str, Any]:
    """Return the accuracy in each view over the seeds, by type and with intervals over films, beside the most frequent
    answer to each question."""
    corpus = read_questions(root)
    asked = corpus.split("test").rows
    runs = [json.loads((folder / "answers.json").read_text(encoding="utf-8")) for folder in folders]
    found = {}
    for view in VIEWS:
        right = [score_rows(run[view], asked).right for run in runs]
        found[view] = summarise(
            {name: statistics.fmean(each[name] for each in right) for name in right[0]},
            kinds={row.id: row.kind for row in asked},
            videos={row.id: row.video for row in asked},
            bootstrap=SAMPLES,
        )
    found[MAJORITY] = score_rows(majority_answers(corpus.split("train").rows, asked), asked)
    return {name: each.to_dict() for name, each in found.items()} | {"table": list(answer_table(found))}


def answer_table(found: Mapping[str, AnswerScores]) -> Iterator[str]:
    """Yield the comparison as a Markdown table."""
    yield f"| questions | | {' | '.join(found)} |"
    yield f"|---|---|{'---|' * len(found)}"
    rows = [{name: cells for name, *cells in each.rows()} for each in found.values()]
    for kind, (count, *_) in rows[0].items():
        yield f"| {kind} | {count} | {' | '.join(f'{each[kind][1]} {each[kind][2]}' for each in rows)} |"


def table(shop: Workshop) -> list[str]:
    return list(shop.reports[f"scores-{ANSWERS}"]["table"])
