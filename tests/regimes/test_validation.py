"""What a regime measures on held-out data: captions by default, anything else that is handed to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from helpers.running import FAST, trainer

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.decoding import ValidationDecoding
from pseudocap.metrics.suite import score
from pseudocap.regimes import VideoOnly
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.validation import Validation
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]


class LossValidation(Validation):
    """How likely the references are, instead of what is captioned."""

    def __init__(self, loss: Callable[[Batch], float]) -> None:
        self._loss = loss
        self.losses: list[float] = []

    def start(self) -> None:
        self.losses = []

    def step(self, batch: Batch) -> float:
        self.losses.append(self._loss(batch))
        return self.losses[-1]

    def end(self, module: lightning.LightningModule, stage: str) -> None:
        self.record(module, stage, {"likelihood": -sum(self.losses) / len(self.losses)})


class Likely(VideoOnly):
    def __init__(self, model: PseudoCap) -> None:
        super().__init__(model, optimisation=FAST)
        self.validation: LossValidation = LossValidation(self.loss_of)

    def loss_of(self, batch: Batch) -> float:
        tokens = self.tokens_of(batch)
        out = self.model(
            tokens.input_ids,
            self.memory_of(batch),
            attention_mask=tokens.attention_mask,
            labels=tokens.labels,
        )
        return float(out.loss)


@pytest.fixture
def data(world: Path) -> CaptionData:
    return CaptionData(world / "captions.jsonl", batch_size=1, workers=0)


def test_a_regime_may_validate_something_else_than_captions(build: Build, data: CaptionData, tmp_path: Path) -> None:
    """The captioner is kept by what it measures, and nothing is captioned."""
    module = Likely(build())
    kept = KeepCaptioner(str(tmp_path / "kept"), "val/likelihood")
    run = trainer(tmp_path, kept, max_steps=4, val_check_interval=1)
    run.fit(module, data)
    assert run.callback_metrics["val/likelihood"] == pytest.approx(module.scores["likelihood"])
    assert not any("CIDEr" in name for name in run.callback_metrics)
    assert "gates/2/attention/mean" in run.callback_metrics
    assert module.validation.scored_at == 4
    assert not (Path(run.log_dir or "") / "captions").exists()
    results = json.loads((tmp_path / "kept" / "last" / "results.json").read_text())
    assert results["scores"] == module.scores
    assert (results["intervals"], results["videos"], results["scores_step"]) == ({}, 0, 4)
    best = json.loads((tmp_path / "kept" / "best" / "results.json").read_text())
    assert best["scores"]["likelihood"] == kept.best >= module.scores["likelihood"]
    losses = list(module.validation.losses)
    assert trainer(tmp_path).predict(module, data.val_dataloader()) == losses


def test_each_validation_measures_anew_and_a_sanity_check_leaves_nothing(
    build: Build, data: CaptionData, tmp_path: Path
) -> None:
    module = Likely(build())
    batches: list[int] = []

    class Counting(lightning.Callback):
        def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            batches.append(len(module.validation.losses))
            assert (module.scores is None) == trainer.sanity_checking

    trainer(tmp_path, Counting(), max_steps=2, val_check_interval=1, num_sanity_val_steps=1).fit(module, data)
    assert len(batches) == 3
    assert batches[0] == 1
    assert batches[1] == batches[2] == len(data.val_dataloader())


def test_captions_are_those_of_the_decoding_and_scored_as_score_does(
    build: Build, data: CaptionData, tmp_path: Path
) -> None:
    module = VideoOnly(build(), optimisation=FAST, decoding=ValidationDecoding(beams=2, max_new_tokens=3, examples=1))
    run = trainer(tmp_path, max_steps=2, val_check_interval=1)  # the second validation forgets the first
    run.fit(module, data)
    with torch.no_grad():
        batches = list(data.val_dataloader())
        captions = [
            caption
            for batch in batches
            for caption in module.model.decode(
                module.model.generate(module.memory_of(batch), num_beams=2, max_new_tokens=3)
            )
        ]
    keys = [key for batch in batches for key in batch.keys]
    assert [(each.key, each.caption) for each in module.validation.captioned] == list(zip(keys, captions, strict=True))
    references = {each.key: each.references for each in module.validation.captioned}
    assert module.scores == score(predictions=dict(zip(keys, captions, strict=True)), references=references)
    _, table = sorted((Path(run.log_dir or "") / "captions").iterdir())
    assert len(table.read_text().splitlines()) == 3
    assert [pair for part in trainer(tmp_path).predict(module, data.val_dataloader()) for pair in part] == [
        (each, caption) for each, caption in zip(keys, captions, strict=True)
    ]
