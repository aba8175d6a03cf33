"""Measure a regime on held-out data: by default, caption the videos there and score the captions.

A regime that measures something else assigns another Validation in its constructor:

    self.validation = RankValidation()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightning.pytorch as lightning

from pseudocap.data.stream.resumable import of_all_ranks
from pseudocap.files.atomic import write_text
from pseudocap.metrics.suite import Scores, score
from pseudocap.types import Batch


def table_row(*cells: str) -> str:
    """Join cells to a row of Markdown, whatever their text holds."""
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"


class Validation:
    """Measure a regime on held-out batches. `scores` are the latest ones and `scored_at` the step that they are of;
    captioners are kept by them (`KeepCaptioner`). `loss` is of the references, where it is measured. `videos` counts
    those that were scored, where the scores themselves do not, and `intervals` are theirs then. `group_scores` are
    those by groups of modalities."""

    scores: Mapping[str, float] | None = None
    group_scores: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    scored_at: int | None = None
    loss: float | None = None
    videos: int = 0
    intervals: Mapping[str, Sequence[float]] = MappingProxyType({})

    def start(self) -> None:
        """Forget what was measured before."""

    def step(self, batch: Batch) -> object:
        """Measure a batch; what it returns is what `Trainer.predict` gives of it."""
        raise NotImplementedError

    def end(self, module: lightning.LightningModule, stage: str) -> None:
        """Log `<stage>/<name>` for each score, on every rank; `stage` is val or test."""
        raise NotImplementedError

    def record(self, module: lightning.LightningModule, stage: str, scores: Mapping[str, float]) -> None:
        """Log scores and keep them, unless they are of Lightning's sanity check: of a few videos, and of no step."""
        if not module.trainer.sanity_checking:
            self.scores, self.scored_at = scores, module.global_step
            module.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, prog_bar=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Captioned:
    """Hold the caption of a video, and its references."""

    key: str
    caption: str
    references: tuple[str, ...]


class CaptionValidation(Validation):
    """Caption every video and score the captions of all ranks; measure the loss of a reference of each video.

    Args:
        caption: captions the videos of a batch
        examples: how many captions are written down beside a reference
        loss: sums the losses of a batch's tokens, and counts them
        groups: of modalities, by each of which alone the videos that have it are captioned and scored as well
    """

    def __init__(
        self,
        caption: Callable[[Batch], Sequence[str]],
        *,
        examples: int,
        loss: Callable[[Batch], tuple[float, int]] | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.captioned: list[Captioned] = []
        self.groups = tuple(groups)
        self._by_group: dict[str, list[Captioned]] = {}
        self._caption, self._examples, self._loss = caption, examples, loss
        self._losses: list[tuple[float, int]] = []

    def start(self) -> None:
        self.captioned, self._losses = [], []
        self._by_group = {group: [] for group in self.groups}

    def step(self, batch: Batch) -> list[tuple[str, str]]:
        """Caption a batch; return keys and captions."""
        captions = self._caption(batch)
        self.captioned += _captioned(batch, captions)
        for group in self.groups:
            self._by_group[group] += self._captioned_by(group, batch)
        if self._loss is not None:
            self._losses.append(self._loss(batch))
        return list(zip(batch.keys, captions, strict=True))

    def end(self, module: lightning.LightningModule, stage: str) -> None:
        """Score on every rank what all ranks captioned, so that the figure is that of one process."""
        self.captioned = [each for part in of_all_ranks(self.captioned) for each in part]
        losses = [each for part in of_all_ranks(self._losses) for each in part]
        if losses and not module.trainer.sanity_checking:
            self.loss = sum(total for total, _ in losses) / sum(tokens for _, tokens in losses)
            module.log(f"{stage}/loss", self.loss)
        if self.captioned:
            scores = self.score(self.captioned)
            self.record(module, stage, scores)
            self._score_groups(module, stage)
            not_computed = scores.not_computed if isinstance(scores, Scores) else {}
            for name, reason in not_computed.items() if not module.trainer.sanity_checking else ():
                module.print(f"{stage}/{name} is not computed: {reason}")
        if stage == "val":
            self._write_examples(module.trainer)

    def score(self, captioned: Sequence[Captioned]) -> Mapping[str, float]:
        """Score captions against their references."""
        return score(
            predictions={each.key: each.caption for each in captioned},
            references={each.key: each.references for each in captioned},
        )

    def _captioned_by(self, group: str, batch: Batch) -> list[Captioned]:
        """Caption the videos of a batch that have something of a group's modalities, by these alone."""
        assert batch.memory is not None, "it is encoded once for all captions"
        rows = batch.memory.having(group).nonzero()[:, 0]
        if not len(rows):
            return []
        chosen: dict[str, Any] = {
            name: tuple(getattr(batch, name)[row] for row in rows.tolist())
            for name in ("keys", "captions", "references", "prompts")
            if getattr(batch, name)
        }
        some = replace(batch, **chosen, memory=batch.memory[rows].only(group), frames=None, frame_mask=None)
        return _captioned(some, self._caption(some))

    def _score_groups(self, module: lightning.LightningModule, stage: str) -> None:
        """Score by each group, over all ranks, the videos that have something of it."""
        found = {}
        for group, own in self._by_group.items():
            everyone = [each for part in of_all_ranks(own) for each in part]
            if everyone:
                found[group] = self.score(everyone)
        if module.trainer.sanity_checking:
            return
        self.group_scores = found
        values = {f"{stage}/{name}/{group}": value for group, each in found.items() for name, value in each.items()}
        module.log_dict(values)

    def _write_examples(self, trainer: lightning.Trainer) -> None:
        """Write a table beside the logs, for people: the same videos each time, so that one sees them change."""
        if trainer.sanity_checking or not trainer.loggers or self._examples == 0:
            return
        where = trainer.log_dir  # which all ranks must ask
        if not trainer.is_global_zero or where is None:
            return
        chosen = sorted(self.captioned, key=lambda each: each.key)[: self._examples]
        rows = ["| video | caption | a reference |", "|---|---|---|"]
        rows += [table_row(each.key, each.caption, each.references[0]) for each in chosen]
        write_text(Path(where) / "captions" / f"step-{trainer.global_step:07d}.md", "\n".join(rows) + "\n")
        for logger in trainer.loggers:
            if hasattr(logger.experiment, "add_text"):  # TensorBoard's
                logger.experiment.add_text("captions", "\n".join(rows), trainer.global_step)


def _captioned(batch: Batch, captions: Sequence[str]) -> list[Captioned]:
    rows = zip(batch.keys, captions, batch.references, strict=True)
    return [Captioned(key=key, caption=caption, references=references) for key, caption, references in rows]
