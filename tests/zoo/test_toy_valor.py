"""Batches that VALORs of the toy world learn from, and the row of the one that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from helpers.valors import build_valor, random_memory, write_valor_backbones
from transformers import AutoTokenizer

from pseudocap.hub.manifest import Row, read_manifest
from pseudocap.hub.retrievers import find_retriever
from pseudocap.toyworld.corpora import film_at, soundtrack_at
from pseudocap.types import Batch
from pseudocap.zoo.bert import write_bert
from pseudocap.zoo.toy_hears import HeardFilm
from pseudocap.zoo.toy_valor import TrainingFilms, ValorPlan, save_toy


def films_of(count: int) -> TrainingFilms:
    track = soundtrack_at("valor", "train", 0, seed=0)
    films = [
        HeardFilm(
            key=f"film {number}",
            path=Path("f.mp4"),
            references=("a dog", "a cat"),
            shots=(),
            track=track,
            number=number,
        )
        for number in range(count)
    ]
    asked = [[("what?", f"answer {number}")] if number % 2 else [] for number in range(count)]
    return TrainingFilms(films=films, memory=random_memory(count), questions=asked)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    films, plan = films_of(8), ValorPlan(batch=4, asking=0.5)
    steps = [films.batch(plan, 0, step) for step in range(12)]
    again = films.batch(plan, 0, 5)
    assert (again.keys, again.captions, again.prompts) == (steps[5].keys, steps[5].captions, steps[5].prompts)
    assert films.batch(plan, 1, 5).keys != steps[5].keys
    asking = [batch for batch in steps if batch.prompts]
    assert 2 < len(asking) < 10
    for batch in asking:
        assert [f"answer {key.removeprefix('film ')}" for key in batch.keys] == list(batch.captions)
    assert batch_memory_is_of_its_films(films, steps)
    assert not any(films.batch(ValorPlan(batch=4), 0, step).prompts for step in range(12))


def batch_memory_is_of_its_films(films: TrainingFilms, batches: Sequence[Batch]) -> bool:
    def rows(keys: tuple[str, ...]) -> torch.Tensor:
        return torch.tensor([int(key.removeprefix("film ")) for key in keys])

    return all(
        batch.memory is not None and torch.equal(batch.memory.time, films.memory.time[rows(batch.keys)])
        for batch in batches
    )


def test_questions_are_about_the_films_of_valor() -> None:
    assert film_at("qa", "train", 3, seed=0) == film_at("valor", "train", 3, seed=0)
    assert soundtrack_at("qa", "train", 3, seed=0) == soundtrack_at("valor", "train", 3, seed=0)


def test_a_word_that_the_toy_bert_has_not_is_spelled(tmp_path: Path) -> None:
    assert write_bert(tmp_path, ["A dog barks.", "two dogs"]) == 5
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("dogs bark") == ["dogs", "b", "##a", "##r", "##k"]
    assert tokenizer("a dog")["input_ids"][0] == tokenizer.cls_token_id


def test_the_row_of_the_shipped_model_is_one_that_loads(backbones: Path, tmp_path: Path) -> None:
    own = write_valor_backbones(tmp_path / "own")
    build_valor(backbones, own, sight="pooled").save_pretrained(tmp_path / "trained")
    row = save_toy(tmp_path / "trained", tmp_path / "shipped", {"R@1 T-AV": 1.0}, seed=0)
    row["weights"]["source"] = str(tmp_path / "shipped" / "toy-valor")
    registry = tmp_path / "checkpoints.yaml"
    registry.write_text(yaml.safe_dump({"checkpoints": [row]}))
    (read,) = read_manifest(registry)
    assert Row(values=read, registry=str(registry), shipped=False).valor
    found = find_retriever("toy-valor", checkpoints=registry)
    assert (found.kind, found.source) == ("valor", "toy-valor")
