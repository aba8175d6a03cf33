"""What every regime does around its training step: optimise, move the gates' schedule, caption what is held out, score.

A regime's own file shows what it learns from, how long, and its whole training step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import distributed

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError, nearest
from pseudocap.files.atomic import write_text
from pseudocap.memory import Memory
from pseudocap.metrics.suite import Scores, score
from pseudocap.model.text import CaptionTokens, StopWords
from pseudocap.regimes.losses import Losses, Objective
from pseudocap.regimes.markdown import table_row
from pseudocap.regimes.optimisation import Optimisation, build_optimiser
from pseudocap.types import Batch

Decoding = ValidationDecoding  # its name of 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Captioned:
    """What a validation said of a video, and what people say."""

    key: str
    caption: str
    references: tuple[str, ...]


class Regime(lightning.LightningModule):
    """A captioner that learns. Only its adapters have gradients, optimiser state, and a place in checkpoints.

    Args:
        model: the captioner: pseudocap.regimes.networks.from_backbones, or from_pretrained there
        optimisation: AdamW and its schedule
        objective: what is added to the caption loss
        decoding: how validation captions
        seed: of the denoising's draws; order and crops have the data's own
        compiler: torch.compile's backend for each layer, inductor for instance; null runs them as they are
    """

    def __init__(
        self,
        model: PseudoCap,
        *,
        optimisation: Optimisation = Optimisation(),
        objective: Objective = Objective(),
        decoding: ValidationDecoding = ValidationDecoding(),
        seed: int = 0,
        compiler: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= seed < 2**63:
            raise ConfigError(f"seed must be from 0 to below 2**63, not {seed}")
        model.require_full_precision("be trained")
        self.model = model
        self.optimisation, self.objective, self.decoding = optimisation, objective, decoding
        self.seed = seed
        if self.objective.gate_entropy > 0 and model.config.fusion != "convex":
            raise ConfigError("objective.gate_entropy is for fusion='convex'; the residual gates have no entropy")
        self.stop_words = StopWords.of(model.tokenizer)
        if compiler is not None:
            compile_layers(model, compiler)
        self.scores: Scores | None = None
        self.scored_at: int | None = None  # the step that the scores are of
        self.captioned: list[Captioned] = []

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        mixed = isinstance(self.trainer.precision_plugin, MixedPrecision)
        optimiser = build_optimiser(self.model, self.optimisation, mixed=mixed)
        if math.isinf(self.trainer.estimated_stepping_batches):
            raise ConfigError(
                "the run has no end, and the learning rate falls towards it: give trainer.max_steps or max_epochs"
            )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self.optimisation.share(step, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def run_settings(self) -> dict[str, int]:
        """What the losses of a run depend on beside its captioner, objective and data, which tell for themselves."""
        return {"model.seed": self.seed, "trainer.accumulate_grad_batches": self.trainer.accumulate_grad_batches}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run_settings"] = self.run_settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint of another run, or of other adapters, is told before PyTorch meets it."""
        fitting = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        for name, value in checkpoint.get("run_settings", {}).items() if fitting else ():
            if self.run_settings[name] != value:
                raise ConfigError(
                    f"the run to resume had {name} {value} and this one has {self.run_settings[name]}, so other losses "
                    f"would follow: set {name} as it was, or start a new run from the weights alone"
                )
        if "state_dict" not in checkpoint:  # DeepSpeed keeps the weights in files of its own, which it compares itself
            return
        here = {name: list(tensor.shape) for name, tensor in self.state_dict().items()}
        there = {name: list(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
        if here != there:
            wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
            first = f"{wrong[0]} is {there.get(wrong[0], 'not there')} in it and {here.get(wrong[0], 'not there')} here"
            raise CheckpointError(
                f"the training checkpoint is of another captioner: {len(wrong)} of its weights differ, {first}; resume "
                "with the settings that the run had (its config.yaml)"
            )

    # What a training step is made of

    def memory_of(self, batch: Batch) -> Memory:
        """Stored, or seen now by the frozen encoder, which records nothing for autograd."""
        if batch.memory is not None:
            return batch.memory
        if batch.frames is None:
            raise InputError("a batch must have frames or a memory")
        return self.model.encode(batch.frames, batch.frame_mask)

    def tokens_of(self, batch: Batch) -> CaptionTokens:
        return self.model.tokenize(batch.captions, batch.prompts, max_tokens=self.objective.max_tokens)

    def draws_of(self, batch: Batch, batch_index: int) -> torch.Generator:
        """The step's randomness: a function of (seed, rank, step), so that a resumed run draws the same."""
        step = batch.step if batch.step is not None else batch_index
        state = np.random.SeedSequence([self.seed, self.global_rank, step]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0]) >> 1)

    def log_losses(self, losses: Losses, batch: Batch) -> None:
        """By stream, so that the losses of a mixture stay apart."""
        values = {"train/loss": losses.total.detach()}
        values |= {f"train/{name}/{batch.stream}": part.detach() for name, part in losses.parts.items()}
        self.log_dict(values, batch_size=len(batch))
        self.log("train/loss_bar", losses.total.detach(), prog_bar=True, logger=False, batch_size=len(batch))

    # Validation

    def on_validation_epoch_start(self) -> None:
        self.captioned = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        options = self.decoding.generate_options()
        captions = self.model.describe(self.memory_of(batch), prompt=batch.prompts, **options)
        for key, caption, references in zip(batch.keys, captions, batch.references, strict=True):
            self.captioned.append(Captioned(key=key, caption=caption, references=references))

    def on_validation_epoch_end(self) -> None:
        self.log_dict(gate_statistics(self.model))
        self._score("val")
        self._show_examples()

    def _score(self, stage: str) -> None:
        """Every rank scores what all ranks captioned, so the figure is that of one process."""
        self.captioned = _of_all_ranks(self.captioned)
        if not self.captioned:
            return
        scores = score(
            predictions={each.key: each.caption for each in self.captioned},
            references={each.key: each.references for each in self.captioned},
        )
        if self.trainer.sanity_checking:  # of a few videos, and of no step
            return
        self.scores, self.scored_at = scores, self.global_step
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, prog_bar=True)
        for name, reason in scores.not_computed.items():
            self.print(f"{stage}/{name} is not computed: {reason}")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self.validation_step(batch, batch_index)

    def on_test_epoch_start(self) -> None:
        self.captioned = []

    def on_test_epoch_end(self) -> None:
        self._score("test")

    def predict_step(self, batch: Batch, batch_index: int) -> list[tuple[str, str]]:
        self.captioned = []
        self.validation_step(batch, batch_index)
        return [(each.key, each.caption) for each in self.captioned]

    def _show_examples(self) -> None:
        """A table beside the logs, for people: the same videos each time, so that one sees them change."""
        if self.trainer.sanity_checking or not self.trainer.loggers or self.decoding.examples == 0:
            return
        where = self.trainer.log_dir  # which all ranks must ask
        if not self.trainer.is_global_zero or where is None:
            return
        folder = Path(where) / "captions"
        chosen = sorted(self.captioned, key=lambda each: each.key)[: self.decoding.examples]
        rows = ["| video | caption | a reference |", "|---|---|---|"]
        rows += [table_row(each.key, each.caption, each.references[0]) for each in chosen]
        write_text(folder / f"step-{self.global_step:07d}.md", "\n".join(rows) + "\n")
        for logger in self.trainer.loggers:
            if hasattr(logger.experiment, "add_text"):  # TensorBoard's
                logger.experiment.add_text("captions", "\n".join(rows), self.global_step)


class PreTraining(Regime):
    """A regime that starts from new adapters: the schedule of convex gates moves with the optimiser's steps.

    `steps` is the papers' length, which a run has unless it says otherwise.
    """

    steps: int

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        self.model.set_gate_step(self.global_step)


def compile_layers(model: PseudoCap, compiler: str) -> None:
    """Each layer by itself, in place: equal layers share what was compiled, and names of weights stay."""
    known = torch.compiler.list_backends()
    if compiler not in (*known, "eager", "aot_eager"):
        raise ConfigError(f"there is no compiler {compiler!r}{nearest(compiler, known)}; torch has {', '.join(known)}")
    for layer in (*model.encoder.layers, *model.decoder.layers, *model.decoder.adapters.values()):
        layer.compile(backend=compiler, dynamic=True)


def gate_statistics(model: PseudoCap) -> dict[str, float]:
    """How far each adapter opened: mean, spread and extremes of its gates."""
    values: dict[str, float] = {}
    for layer, adapter in model.adapters.items():
        for name, gate in adapter.gates().items():
            gate = gate.detach().float()
            statistics = {"mean": gate.mean(), "std": gate.std(correction=0), "min": gate.min(), "max": gate.max()}
            values |= {f"gates/{layer}/{name}/{each}": float(value) for each, value in statistics.items()}
    return values


def _of_all_ranks(captioned: list[Captioned]) -> list[Captioned]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return captioned
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, captioned)
    return [each for part in gathered for each in part]


def refuse_modality(batch: Batch, wanted: str, regime: str) -> None:
    if batch.modality != wanted:
        raise InputError(f"{regime} learns from {wanted}s, and a batch of {batch.modality}s came: mend its data")
