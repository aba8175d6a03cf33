"""Answers to the questions of a split from stored memories: those that the files themselves get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helpers.loud_weights import with_loud_weights
from helpers.small_worlds import write_questions, write_world

from pseudocap import PseudoCap
from pseudocap.data.corpora.own import read_own
from pseudocap.data.corpora.questions import read_questions
from pseudocap.data.memories.encode import encode
from pseudocap.data.memories.source import MemorySource
from pseudocap.data.memories.spec import MemorySpec
from pseudocap.data.stream.sources import RowSource
from pseudocap.data.videos import VideoFolder
from pseudocap.evaluate.answers import answer_rows, majority_answers, score_rows
from pseudocap.evaluate.views import without_senses


def test_questions_are_answered_from_memories_as_from_the_files(
    build: Callable[..., PseudoCap], tmp_path: Path
) -> None:
    model, world = with_loud_weights(build(), std=0.8, seed=3), write_world(tmp_path / "world")
    corpus = read_questions(write_questions(world))
    spec = MemorySpec(encoder=model.config.encoder.fingerprint, preprocess=model.config.preprocess)
    source = RowSource(read_own(world / "captions.jsonl").rows, VideoFolder(world), spec.preprocess)
    encode(source, model.encoder, tmp_path / "memories", spec)
    memories, rows = MemorySource(tmp_path / "memories"), corpus.split("val").rows
    answers = answer_rows(model, rows, memories)
    assert list(answers) == [row.id for row in rows]
    assert answers[rows[0].id] == model.ask(world / rows[0].video, rows[0].question)
    blind = answer_rows(model, rows, memories, lambda memory: [*without_senses(memory).values()][-1])
    assert blind[rows[0].id] == blind[rows[2].id], "the same question about another film, and none is seen"
    assert score_rows(answers, rows).all.questions == len(rows)
    guessed = majority_answers(corpus.split("train").rows, rows)
    assert {guessed[row.id] for row in rows if row.kind == "way"} == {"left"}
