"""Measure answers to questions about a split: a captioner's, from stored memories, and those without any video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pseudocap.captioner import PseudoCap
from pseudocap.data.collate import collate
from pseudocap.data.memories.source import MemoryRows, MemorySource
from pseudocap.memory import Memory
from pseudocap.metrics.answers import AnswerScores, majority, score_answers
from pseudocap.questions import ANSWER_TOKENS
from pseudocap.types import CaptionedVideo

BATCH = 64
SAMPLES = 1000  # resampled sets of videos, which give the intervals


def answer_rows(
    model: PseudoCap,
    rows: Sequence[CaptionedVideo],
    memories: MemorySource,
    view: Callable[[Memory], Memory] = lambda memory: memory,
) -> dict[str, str]:
    """Answer questions greedily by their ids, from the memories of their videos as `view` leaves them."""
    source = MemoryRows(rows, memories)
    answers: dict[str, str] = {}
    for first in range(0, len(source.rows), BATCH):
        samples = [source.sample(number, None) for number in range(first, min(first + BATCH, len(source.rows)))]
        batch = collate(samples, [sample.captions[0] for sample in samples])
        assert batch.memory is not None, "they come from memories"
        memory = view(batch.memory).to(model.device)
        texts = model.describe(memory, prompt=batch.prompts, max_new_tokens=ANSWER_TOKENS)
        answers |= zip(batch.keys, texts, strict=True)
    return answers


def majority_answers(learned: Iterable[CaptionedVideo], asked: Iterable[CaptionedVideo]) -> dict[str, str]:
    """Answer questions without any video: the most frequent answer to the same words in training, or to their type."""
    return majority(
        [(row.question, row.kind, row.captions[0]) for row in learned],
        {row.id: (row.question, row.kind) for row in asked},
    )


def score_rows(answers: dict[str, str], rows: Iterable[CaptionedVideo]) -> AnswerScores:
    """Score answers by the type of their questions, with intervals over videos."""
    known = [row for row in rows if row.id in answers]
    return score_answers(
        predictions=answers,
        answers={row.id: row.captions for row in known},
        kinds={row.id: row.kind for row in known},
        videos={row.id: row.video for row in known},
        bootstrap=SAMPLES,
    )
