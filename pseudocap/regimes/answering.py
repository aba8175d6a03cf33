"""Train a captioner to answer: the question is its prompt, masked from the loss, and the answer the caption after it.

The words of an answer are generated, so any may come (an open vocabulary), as VALOR's are. A question is one sample:
its video comes as often as there are questions about it. Of several answers of one question each epoch draws another,
so that ten that disagree are learned as often as they were given. Validation answers greedily and counts what is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as lightning
import torch

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import ConfigError, DataError
from pseudocap.metrics.answers import AnswerScores, score_answers
from pseudocap.model.text import encode_after
from pseudocap.questions import ANSWER_TOKENS, prompt_of
from pseudocap.regimes.base import Regime
from pseudocap.regimes.table import ANSWERING
from pseudocap.regimes.validation import Captioned, CaptionValidation
from pseudocap.types import Batch, CaptionedVideo

ACCURACY = "accuracy"
SAMPLES = 1000  # resampled sets of videos, which give the interval


class Answering(Regime):
    """Learn from `CaptionData` of questions: `Trainer().fit(Answering(model), CaptionData("questions:asked.jsonl"))`.

    Args:
        model: the captioner: pseudocap.regimes.networks.from_pretrained, or from_backbones there
        decoding: how validation answers
        settings: those of every regime
    """

    steps = ANSWERING.steps
    monitor = f"val/{ACCURACY}"

    def __init__(
        self,
        model: PseudoCap,
        *,
        decoding: ValidationDecoding = ValidationDecoding(max_new_tokens=ANSWER_TOKENS),
        **settings: Any,
    ) -> None:
        super().__init__(model, decoding=decoding, **settings)
        self._by_key: dict[str, CaptionedVideo] | None = None
        self.validation = AnswerValidation(
            self.captions_of,
            self._asked,
            examples=decoding.examples,
            loss=self.token_losses_of,
            groups=settings.get("validation_groups", ()),
        )

    def setup(self, stage: str) -> None:
        """Refuse captions, and answers that the decoder cannot take, before the first step."""
        rows = self._rows()
        if (captions := next((row for row in rows if not row.question), None)) is not None:
            raise ConfigError(
                f"answering learns from questions, and {captions.id} has captions alone: name a dataset of questions "
                "(questions:FILE, msrvtt-qa:DIR, ...), or fine-tune on captions"
            )
        self._refuse_too_long(rows)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        losses = self.caption_losses(batch, batch_index)
        self.log_losses(losses, batch)
        return losses.total

    def _rows(self) -> Sequence[CaptionedVideo]:
        """Return the rows that the trainer's data holds; none of loaders without a corpus."""
        corpus = getattr(getattr(self.trainer, "datamodule", None), "corpus", None)
        return () if corpus is None else corpus.rows

    def _asked(self) -> Mapping[str, CaptionedVideo]:
        if self._by_key is None:
            self._by_key = {row.id: row for row in self._rows()}
        return self._by_key

    def _refuse_too_long(self, rows: Sequence[CaptionedVideo]) -> None:
        """Raise DataError where an answer would be cut, or has with its question more tokens than the decoder has
        positions. A token has a byte at least, so that few need be counted."""
        most, positions = self.objective.max_tokens, self.model.decoder.positions or math.inf
        for row in rows:
            for answer in row.captions:
                if len((row.question + answer).encode()) + 4 <= min(most, positions):
                    continue
                question, answered = encode_after(prompt_of(row.question), answer, self.model.tokenizer)
                if len(answered) + 2 > most:
                    raise DataError(
                        f"{row.id}: the answer has {len(answered)} tokens, and objective.max_tokens is {most} with "
                        "those that frame it: shorten the answer, take it out, or raise that"
                    )
                if len(question) + len(answered) + 2 > positions:
                    raise DataError(
                        f"{row.id}: the question has {len(question)} tokens and its answer {len(answered)}, and the "
                        f"decoder has {positions} positions with those that frame them: shorten it or take it out"
                    )


class AnswerValidation(CaptionValidation):
    """Answer every question and count the right answers of all ranks, overall and by type (`accuracy of color`).

    Args:
        answer: answers the questions of a batch
        asked: returns the rows of the questions, by their keys
        settings: those of CaptionValidation
    """

    def __init__(
        self,
        answer: Callable[[Batch], Sequence[str]],
        asked: Callable[[], Mapping[str, CaptionedVideo]],
        **settings: Any,
    ) -> None:
        super().__init__(answer, **settings)
        self._asked = asked

    def score(self, captioned: Sequence[Captioned]) -> Accuracies:
        asked = self._asked()
        rows = {each.key: asked[each.key] for each in captioned if each.key in asked}
        return Accuracies(
            score_answers(
                predictions={each.key: each.caption for each in captioned},
                answers={each.key: each.references for each in captioned},
                kinds={key: row.kind for key, row in rows.items()},
                videos={key: row.video for key, row in rows.items()},
                bootstrap=SAMPLES,
            )
        )

    def record(self, module: lightning.LightningModule, stage: str, scores: Mapping[str, float]) -> None:
        super().record(module, stage, scores)
        if isinstance(scores, Accuracies) and not module.trainer.sanity_checking:
            self.intervals, self.videos = scores.intervals, scores.questions


class Accuracies(dict[str, float]):
    """Hold the accuracy of all questions and of each type as named scores, with their intervals."""

    def __init__(self, found: AnswerScores) -> None:
        named = {ACCURACY: found.all, **{f"{ACCURACY} of {kind}": each for kind, each in found.by_kind.items()}}
        super().__init__({name: each.value for name, each in named.items()})
        drawn = {name: each.interval for name, each in named.items()}
        self.intervals = {name: [each.low, each.high] for name, each in drawn.items() if each is not None}
        self.questions = found.all.questions
