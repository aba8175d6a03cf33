"""Train and measure VALORs on the toy world's films that sound, from stored memories: `toy-valor`, and the arms of
`pseudocap bench ablation modality-groups | av-fusion | mga-mgc | modalities`.

A batch is a function of (seed, step), so a killed training goes on (train_loop.py). Measured are the test films that
sound: recalls of films by their captions, CIDEr-D of captions, and the accuracy of answers, each by sight, by sound and
by both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pseudocap.data.corpora.own import read_own
from pseudocap.evaluate.captioner import references_of
from pseudocap.files.atomic import write_text
from pseudocap.files.reading import sha256_of
from pseudocap.files.sources import SHIPPED_SCHEME
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from pseudocap.hub.manifest import KIND
from pseudocap.hub.manifest import VALOR as VALOR_KIND
from pseudocap.memory import Memory
from pseudocap.metrics.answers import accuracy
from pseudocap.metrics.retrieval import retrieval_scores
from pseudocap.metrics.suite import score
from pseudocap.model.network import seeded
from pseudocap.model.retrieval import Embedded
from pseudocap.regimes.table import VALOR
from pseudocap.regimes.valor import Valor, ValorObjective
from pseudocap.stages import Stage, Workshop, commit
from pseudocap.toyworld.corpora import questions_at
from pseudocap.types import Batch, Progress
from pseudocap.valor import ValorModel
from pseudocap.zoo.bert import write_bert
from pseudocap.zoo.recipe import ZooRecipe
from pseudocap.zoo.search import Report
from pseudocap.zoo.ship import AST, LEFT_BEHIND, TIMESFORMER, Backbones
from pseudocap.zoo.toy_hears import (
    CAPTIONS,
    MEMORIES,
    VIDEOS,
    WORLD,
    HeardFilm,
    heard_films,
    stored_memory,
    world_stage,
)
from pseudocap.zoo.train_loop import Course, learn

BERT = "toy-bert"
MODEL = "model"  # in a stage's folder
NETWORKS = {
    "text": SHIPPED_SCHEME + BERT,
    "encoder": SHIPPED_SCHEME + TIMESFORMER,
    "audio_encoder": SHIPPED_SCHEME + AST,
}
TOY, DATASET = "toy-valor", "toy-valor"
COMMAND = "pseudocap zoo build"
ABOUT = """\
# toy-valor

**This model is a toy: it was trained on drawn films only, so what it writes of real pictures and video means nothing.**

A VALOR: a small BERT that aligns texts with sight, sound or both, captions films, and answers questions about them.

```bash
pseudocap caption film.mp4 --checkpoint toy-valor --modalities av
pseudocap index videos --retriever toy-valor --out index
pseudocap ask film.mp4 "what color is the ball?" --checkpoint toy-valor
```

On {films} videos of toy-valor test, which all sound, by sight (V), sound (A) and both (AV): recalls in per cent of
videos by their captions, CIDEr-D x 100 of captions, which are often no sentences, accuracy of answers, which is
no better than the most frequent answer to the same question (docs/answering.md).

| figure | |
|---|---|
{figures}
"""
FIGURES = {"v": "V", "a": "A", "av": "AV"}  # of memory.GROUPS, as the paper's tables name what is given
DECODED = 128  # clips whose captions are written at a time
TOKENS = 30
FILMS = 538  # that sound, of the 600 test films


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorPlan:
    """Set a training. `asking` is the share of its steps that learn answers, and nothing else."""

    steps: int = 800
    batch: int = 32
    lr: float = 1e-3
    warmup: int = 80
    asking: float = 0.0
    model: Mapping[str, Any] = field(default_factory=dict)  # fields of ValorConfig, beside those of all toys
    objective: ValorObjective = field(default_factory=ValorObjective)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingFilms:
    """Hold films with their memories side by side, and the questions about each."""

    films: Sequence[HeardFilm]
    memory: Memory
    questions: Sequence[Sequence[tuple[str, str]]]

    def batch(self, plan: ValorPlan, seed: int, step: int) -> Batch:
        """Return the batch of a step: films with one of their captions each, or with a question and its answer."""
        rng = np.random.default_rng([seed, step, 30])
        asks = bool(rng.random() < plan.asking)
        able = [row for row, asked in enumerate(self.questions) if asked] if asks else range(len(self.films))
        rows = [int(row) for row in rng.permutation(np.asarray(able))[: plan.batch]]
        films = [self.films[row] for row in rows]
        options: dict[str, Any] = {}
        if asks:
            chosen = [self.questions[row][int(rng.integers(len(self.questions[row])))] for row in rows]
            options["prompts"] = tuple(question for question, _ in chosen)
            captions = tuple(answer for _, answer in chosen)
        else:
            captions = tuple(film.references[int(rng.integers(len(film.references)))] for film in films)
        keys = tuple(film.key for film in films)
        memory = self.memory[torch.tensor(rows)]
        return Batch(keys=keys, modality="video", captions=captions, references=(), memory=memory, step=step, **options)


def stages(shop: Workshop, recipe: ZooRecipe) -> list[Stage]:
    """List the words and the training of what is shipped, on the ground of toy-hears."""
    plan = ValorPlan(**asdict(recipe.valor))

    def words(folder: Path, report: Progress) -> Report:
        rows = read_own(shop.root / CAPTIONS).rows
        films = sum(row.split == "train" for row in rows)
        asked = [each for index in range(films) for each in questions_at("train", index, seed=recipe.seed)]
        texts = [caption for row in rows for caption in row.captions]
        return {"words": write_bert(folder, [*texts, *(text for each in asked for text in (each.text, each.answer))])}

    def train(folder: Path, report: Progress) -> Report:
        networks = {"text": "bert", "encoder": "watcher", "audio_encoder": "ast"}
        lie = {name: shop.root / each for name, each in networks.items()}
        return train_valor(folder, shop.root, plan, seed=recipe.seed, world=recipe.seed, progress=report, networks=lie)

    return [
        Stage(name="bert", settings={"code": 1}, make=words, needs=(WORLD,)),
        Stage(
            name=TOY,
            settings={"code": 1, "plan": asdict(plan)},
            make=train,
            needs=(MEMORIES, "bert", "watcher", "ast"),
        ),
    ]


def ship_valor(shipped: Path, backbones: Backbones, *, shop: Workshop, recipe: ZooRecipe) -> dict[str, Any]:
    """Save the model as it is shipped, with its words beside it, and return its row."""
    shutil.rmtree(shipped / BERT, ignore_errors=True)
    skip = shutil.ignore_patterns(*LEFT_BEHIND)
    shutil.copytree(shop.folder("bert"), shipped / BERT, ignore=skip, copy_function=shutil.copyfile)
    figures = shop.reports[TOY]["figures"]
    return save_toy(shop.folder(TOY) / MODEL, shipped, figures, seed=recipe.seed)


def save_toy(source: Path, shipped: Path, figures: Mapping[str, float], *, seed: int) -> dict[str, Any]:
    """Save a trained model in a byte for each weight, with the names that its networks are shipped under."""
    model = ValorModel.from_pretrained(source, device="cpu")
    networks = {name: replace(model.config.backbones[name], source=str(each)) for name, each in NETWORKS.items()}
    model.config = model.config.with_backbones(**networks)
    results = {"regime": "Valor", "data": {"corpus": DATASET}, "split": "test", "scores": dict(figures)}
    model.save_pretrained(shipped / TOY, results=results, int8=True)
    rows = "\n".join(f"| {name} | {value:.1f} |" for name, value in figures.items())
    write_text(shipped / TOY / CARD_FILE, ABOUT.format(films=FILMS, figures=rows))
    document = json.loads((shipped / TOY / CONFIG_FILE).read_text(encoding="utf-8"))
    sources = {
        name: {"source": str(each), "fingerprint": networks[name].fingerprint} for name, each in NETWORKS.items()
    }
    return {
        "name": TOY,
        KIND: VALOR_KIND,
        "regime": VALOR.name,
        **sources,
        "weights": {"source": SHIPPED_SCHEME + TOY, "sha256": sha256_of(shipped / TOY / WEIGHTS_FILE)},
        "preprocess": {key: document["preprocess"][key] for key in ("size", "mean", "std", "frames")},
        "config": "pseudocap/zoo/toy_valor.py",
        "scores": [{"dataset": DATASET, "split": "test", "metrics": dict(figures), "command": COMMAND}],
        "license": "Apache-2.0",
        "made_by": {"command": COMMAND, "seed": seed, "commit": commit()},
    }


def ground_stages(shop: Workshop, recipe: ZooRecipe, workers: int) -> list[Stage]:
    """List the films and their memories by the shipped encoders: all that a training stands on."""

    def encode(folder: Path, report: Progress) -> Report:
        networks = ("--encoder", SHIPPED_SCHEME + TIMESFORMER, "--audio-encoder", SHIPPED_SCHEME + AST)
        words = ("encode", CAPTIONS, "--videos", VIDEOS, *networks, "--workers", str(workers))
        shop.verb(*words, "--out", f"{MEMORIES}/store")
        return {"films": len(read_own(shop.root / CAPTIONS).rows)}

    return [
        world_stage(recipe, workers),
        Stage(name=MEMORIES, settings={"code": 1, "encoders": "shipped"}, make=encode, needs=(WORLD,)),
    ]


def train_valor(
    folder: Path,
    root: Path,
    plan: ValorPlan,
    *,
    seed: int,
    world: int,
    progress: Progress,
    networks: Mapping[str, str | Path] = NETWORKS,
) -> Report:
    """Train a VALOR on the training films of a world, save it, and return what it scores on the test films."""
    films = heard_films(root, world, "train")
    asked = questions_of(films, "train", world) if plan.asking else [()] * len(films)
    learned = TrainingFilms(
        films=films, memory=stored_memory(root / MEMORIES / "store", root / CAPTIONS, films), questions=asked
    )
    settings: dict[str, Any] = {"dim": 128, "sight": "pooled", "sound": "moments", **networks, **plan.model}
    model = ValorModel.from_backbones(pretrained=False, seed=seed, device="cpu", **settings)
    captioning = Valor(model, objective=plan.objective, seed=seed)
    reached = {name for name, each in model.named_parameters() if each.requires_grad}

    def loss_at(step: int) -> torch.Tensor:
        batch = learned.batch(plan, seed, step)
        assert batch.memory is not None, "it is stored"
        draws = captioning.draws_of(batch, step)
        with seeded(int(torch.randint(2**62, (), generator=draws))):
            described = captioning.describe(batch, step, batch.memory) if plan.objective.describe else {}
            aligned = captioning.align(batch, batch.memory) if plan.objective.align and not batch.prompts else {}
        losses = [
            plan.objective.alpha * _mean(aligned) if plan.objective.describe else _mean(aligned),
            _mean(described),
        ]
        return torch.stack([loss for loss in losses if torch.is_tensor(loss)]).sum()

    course = Course(steps=plan.steps, lr=plan.lr, warmup=plan.warmup, weight_decay=0.01)
    losses = learn(model, loss_at, course, state=folder / "state.pt", progress=progress)
    found = measure_valor(model, root, world, plan)
    model.save_pretrained(folder / MODEL, results={"regime": "Valor", "step": plan.steps, "scores": found})
    return {"loss": round(float(np.mean(losses[-50:])), 3), "learned": len(reached), "figures": found}


def _mean(losses: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
    return torch.stack(list(losses.values())).mean() if losses else 0.0


def questions_of(films: Sequence[HeardFilm], split: str, world: int) -> list[list[tuple[str, str]]]:
    """Return the questions about each film of a split with their answers."""
    return [[(each.text, each.answer) for each in questions_at(split, film.number, seed=world)] for film in films]


def measure_valor(model: ValorModel, root: Path, world: int, plan: ValorPlan) -> dict[str, float]:
    """Return the figures of the test films: `R@1 T-V`, `R@5 ...`, `CIDEr-D V`, `accuracy V` and so on, as far as the
    objective has taught them."""
    films = heard_films(root, world)
    memory = stored_memory(root / MEMORIES / "store", root / CAPTIONS, films)
    asked = questions_of(films, "test", world) if plan.asking else []
    found: dict[str, float] = {}
    model.eval()
    for group, name in FIGURES.items():
        given = memory.only(group)
        if plan.objective.align:
            found |= {f"{key} T-{name}": value for key, value in recalls(model, given, films).items()}
        if plan.objective.describe:
            texts = written(model, given, films)
            scores = score(predictions=texts, references=references_of(films))
            found[f"CIDEr-D {name}"] = round(scores["CIDEr-D"], 2)
        if plan.asking:
            found[f"accuracy {name}"] = answered(model, given, asked)
    return found


@torch.no_grad()
def recalls(model: ValorModel, memory: Memory, films: Sequence[HeardFilm]) -> dict[str, float]:
    texts = [text for film in films for text in film.references]
    owners = np.repeat(np.arange(len(films)), [len(film.references) for film in films])
    rows = [model.embed_states(model.read(texts[at : at + 256])) for at in range(0, len(texts), 256)]
    similarity = model.score(Embedded.joined(rows), model.embed_media(memory))
    scores = retrieval_scores(similarity.float().numpy(), owners.tolist())
    return {name: round(scores[name], 2) for name in ("R@1", "R@5")}


def written(model: ValorModel, memory: Memory, films: Sequence[HeardFilm]) -> dict[str, str]:
    """Return the captions of films, written greedily."""
    texts: list[str] = []
    for at in range(0, len(films), DECODED):
        rows = torch.arange(at, min(at + DECODED, len(films)))
        texts += model.describe(memory[rows], max_new_tokens=TOKENS)
    return {film.key: text or "nothing" for film, text in zip(films, texts, strict=True)}


def answered(model: ValorModel, memory: Memory, questions: Sequence[Sequence[tuple[str, str]]]) -> float:
    """Return the share of questions, in per cent, whose answer is exact."""
    asked = [(row, *pair) for row, pairs in enumerate(questions) for pair in pairs]
    right: list[float] = []
    for at in range(0, len(asked), 2 * DECODED):
        part = asked[at : at + 2 * DECODED]
        rows = torch.tensor([row for row, _, _ in part])
        answers = model.answers(memory[rows], [question for _, question, _ in part], max_new_tokens=6)
        right += [accuracy(answer, [truth]) for answer, (_, _, truth) in zip(answers, part, strict=True)]
    return round(100 * float(np.mean(right)), 2)
