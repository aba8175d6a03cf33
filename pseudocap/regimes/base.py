"""Do what every regime does around its training step: optimise, resume, move the gates' schedule, log, validate. A
Learner does so for any network, a Regime for a captioner.

A regime's own file has what it learns from, how long, and its whole training step; validation.py what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from pseudocap.captioner import PseudoCap
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError, nearest
from pseudocap.memory import SOUND, Memory
from pseudocap.model.text import CaptionTokens, StopWords
from pseudocap.regimes.logs import gate_statistics
from pseudocap.regimes.losses import Losses, Objective, caption_losses, summed_loss
from pseudocap.regimes.modality_groups import checked_groups, checked_probabilities, draw_group
from pseudocap.regimes.optimisation import Optimisation, build_optimiser, use_settings
from pseudocap.regimes.validation import CaptionValidation, Validation
from pseudocap.retriever import Retriever
from pseudocap.types import Batch
from pseudocap.valor import ValorModel

Decoding = ValidationDecoding  # its name of 0.1


class Learner(lightning.LightningModule):
    """Train a network, of which only what it declares has gradients and optimiser state and is in checkpoints."""

    monitor = "val/CIDEr-D"  # the score that must rise
    validation: Validation

    def __init__(
        self,
        model: PseudoCap | Retriever | ValorModel,
        *,
        optimisation: Optimisation = Optimisation(),
        seed: int = 0,
        modality_groups: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= seed < 2**63:
            raise ConfigError(f"seed must be from 0 to below 2**63, not {seed}")
        self.model = model
        self.optimisation, self.seed = optimisation, seed
        self.modality_groups = None if modality_groups is None else checked_probabilities(modality_groups)
        if self.modality_groups is not None:
            self._require_hearing("modality_groups")

    def _require_hearing(self, what: str) -> None:
        if not {*SOUND} & {*self.model.config.axes}:
            raise ConfigError(
                f"{what} is for a model that hears, and this one attends to "
                f"{', '.join(self.model.config.axes)}: leave it out, or give it an audio_encoder"
            )

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
    def run_settings(self) -> dict[str, Any]:
        """Return what a run's losses depend on beside captioner, objective and data, which are compared elsewhere."""
        drawn = {} if self.modality_groups is None else {"model.modality_groups": self.modality_groups}
        accumulated = {"trainer.accumulate_grad_batches": self.trainer.accumulate_grad_batches}
        return {"model.seed": self.seed, **accumulated, **drawn}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run_settings"] = self.run_settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another run, or of other adapters, before PyTorch reads it."""
        fitting = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        saved = checkpoint.get("run_settings", {})
        for name in {**saved, **self.run_settings} if fitting and saved else ():
            value, own = saved.get(name), self.run_settings.get(name)
            if own != value:
                raise ConfigError(
                    f"the run to resume had {name} {value} and this one has {own}, so other losses "
                    f"would follow: set {name} as it was, or start a new run from the weights alone"
                )
        if "state_dict" not in checkpoint:  # DeepSpeed keeps the weights in files of its own, which it compares itself
            return
        here = {name: list(tensor.shape) for name, tensor in self.state_dict().items()}
        there = {name: list(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
        if here != there:
            wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
            first = f"{wrong[0]} is {there.get(wrong[0], 'not there')} in it and {here.get(wrong[0], 'not there')} here"
            kinds = {PseudoCap: "captioner", Retriever: "retriever"}
            kind = next((name for each, name in kinds.items() if isinstance(self.model, each)), "model")
            raise CheckpointError(
                f"the training checkpoint is of another {kind}: {len(wrong)} of its weights differ, {first}; resume "
                "with the settings that the run had (its config.yaml)"
            )
        if fitting and type(self).configure_optimizers is Learner.configure_optimizers:
            use_settings(checkpoint, self.optimisation)

    # What a training step is made of

    def memory_of(self, batch: Batch) -> Memory:
        """Return the stored memory, or encode frames, sound or both with the frozen encoders, which record nothing for
        autograd."""
        if batch.memory is not None:
            return batch.memory
        if batch.frames is None and batch.sound is None:
            raise InputError("a batch must have frames, sound or a memory")
        if batch.sound is None:
            return self.model.encode(batch.frames, batch.frame_mask)
        heard = {"sound": batch.sound, "sound_lengths": batch.sound_lengths}
        return self.model.encode(batch.frames, batch.frame_mask, **heard)

    def memory_to_learn(self, batch: Batch, batch_index: int) -> tuple[Memory, str]:
        """Return the memory that a step learns from, cut to the group of modalities that is drawn for it, and the name
        of that group: v where nothing is heard in the batch, empty where no groups are drawn."""
        if self.modality_groups is None:
            return self.memory_of(batch), ""
        step = _step_of(batch, batch_index)
        group = draw_group(self.modality_groups, seed=self.seed, rank=self.global_rank, step=step)
        if group == "v":
            batch = replace(batch, sound=None, sound_lengths=None)  # which need not be encoded, then
        elif group == "a" and (alone := self._heard_alone(batch)) is not None:
            return alone.only(group), group
        memory = self.memory_of(batch)
        return memory.only(group), group if bool(memory.having("a").any()) else "v"

    def _heard_alone(self, batch: Batch) -> Memory | None:
        """Return what is heard in the batch, without encoding its frames; None where some of it has no sound."""
        if batch.sound_lengths is None or not bool(batch.sound_lengths.any(dim=1).all()):
            return None
        memory = self.memory_of(replace(batch, frames=None, frame_mask=None))
        return memory if bool(memory.having("a").all()) else None

    def draws_of(self, batch: Batch, batch_index: int) -> torch.Generator:
        """Return the step's randomness: a function of (seed, rank, step), so that a resumed run draws the same."""
        step = _step_of(batch, batch_index)
        state = np.random.SeedSequence([self.seed, self.global_rank, step]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0]) >> 1)

    def log_losses(self, losses: Losses, batch: Batch) -> None:
        """Log losses by stream, so that those of a mixture stay apart, and by the group of modalities where groups are
        drawn."""
        values = {"train/loss": losses.total.detach()}
        values |= {f"train/{name}/{batch.stream}": part.detach() for name, part in losses.parts.items()}
        if losses.group:
            values |= {f"{name}/{losses.group}": value for name, value in values.items()}
        self.log_dict(values, batch_size=len(batch))
        self.log("train/loss_bar", losses.total.detach(), prog_bar=True, logger=False, batch_size=len(batch))

    # Validation

    @property
    def scores(self) -> Mapping[str, float] | None:
        """Return the scores of the latest validation."""
        return self.validation.scores

    def on_validation_epoch_start(self) -> None:
        self.validation.start()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.validation.step(self._encoded(batch))

    def on_validation_epoch_end(self) -> None:
        self.validation.end(self, "val")

    on_test_epoch_start, test_step = on_validation_epoch_start, validation_step

    def on_test_epoch_end(self) -> None:
        self.validation.end(self, "test")

    def predict_step(self, batch: Batch, batch_index: int) -> object:
        self.validation.start()
        return self.validation.step(self._encoded(batch))

    def _encoded(self, batch: Batch) -> Batch:
        """Return the batch with its memory, which captions and losses share."""
        return replace(batch, memory=self.memory_of(batch))


class Regime(Learner):
    """Train a captioner. Only its adapters have gradients and optimiser state, and only they are in checkpoints.

    Args:
        model: the captioner: pseudocap.regimes.networks.from_backbones, or from_pretrained there
        optimisation: AdamW and its schedule
        objective: what is added to the caption loss
        decoding: how validation captions
        seed: of the denoising's draws and of the groups'; order and crops have the data's own
        compiler: torch.compile's backend for each layer, inductor for instance; null runs them as they are
        modality_groups: of a captioner that hears, how often a step learns by sight and hearing (av), by sight alone
            (v) and by hearing alone (a); null is all that each video has
        validation_groups: groups whose captions are scored beside those by all that each video has
    """

    model: PseudoCap

    def __init__(
        self,
        model: PseudoCap,
        *,
        optimisation: Optimisation = Optimisation(),
        objective: Objective = Objective(),
        decoding: ValidationDecoding = ValidationDecoding(),
        seed: int = 0,
        compiler: str | None = None,
        modality_groups: Mapping[str, float] | None = None,
        validation_groups: Sequence[str] = (),
    ) -> None:
        super().__init__(model, optimisation=optimisation, seed=seed, modality_groups=modality_groups)
        model.require_full_precision("be trained")
        if validated := checked_groups(validation_groups, "validation_groups"):
            self._require_hearing("validation_groups")
        self.objective, self.decoding = objective, decoding
        if self.objective.gate_entropy > 0 and (model.config.fusion != "convex" or not model.adapters):
            raise ConfigError("objective.gate_entropy is for adapters with fusion='convex'; others have no entropy")
        self.stop_words = StopWords.of(model.tokenizer)
        if compiler is not None:
            compile_layers(model, compiler)
        self.validation = CaptionValidation(
            self.captions_of, examples=decoding.examples, loss=self.token_losses_of, groups=validated
        )

    # What a training step is made of

    def tokens_of(self, batch: Batch) -> CaptionTokens:
        return self.model.tokenize(batch.captions, batch.prompts, max_tokens=self.objective.max_tokens)

    def caption_losses(self, batch: Batch, batch_index: int) -> Losses:
        """Compute the caption loss of a batch, and what the objective adds to it: the one line that five regimes' steps
        have in common, which would else be nine in each."""
        memory, group = self.memory_to_learn(batch, batch_index)
        losses = caption_losses(
            self.model,
            self.tokens_of(batch),
            memory,
            self.objective,
            step=self.global_step,
            generator=self.draws_of(batch, batch_index),
            stop_words=self.stop_words,
        )
        return replace(losses, group=group)

    # Validation

    def captions_of(self, batch: Batch) -> list[str]:
        """Caption a batch's videos, decoded as validation does."""
        options = self.decoding.generate_options()
        return self.model.describe(self.memory_of(batch), prompt=batch.prompts, **options)

    def token_losses_of(self, batch: Batch) -> tuple[float, int]:
        """Sum the losses of a batch's captions, which in validation are each video's first, and count their tokens."""
        return summed_loss(self.model, self.tokens_of(batch), self.memory_of(batch))

    def on_validation_epoch_end(self) -> None:
        self.log_dict(gate_statistics(self.model))
        super().on_validation_epoch_end()


class PreTraining(Regime):
    """Train from new adapters: the schedule of convex gates moves with the optimiser's steps.

    `steps` is the papers' length, by default that of a run.
    """

    steps: int

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        self.model.set_gate_step(self.global_step)


def _step_of(batch: Batch, batch_index: int) -> int:
    return batch.step if batch.step is not None else batch_index


def compile_layers(model: PseudoCap, compiler: str) -> None:
    """Compile each layer by itself, in place: equal layers share what was compiled, and names of weights stay."""
    known = torch.compiler.list_backends()
    if compiler not in (*known, "eager", "aot_eager"):
        raise ConfigError(f"there is no compiler {compiler!r}{nearest(compiler, known)}; torch has {', '.join(known)}")
    of_encoders = [layer for encoder in model.encoders for layer in encoder.layers]
    for layer in (*of_encoders, *model.decoder.layers, *model.decoder.adapters.values()):
        layer.compile(backend=compiler, dynamic=True)


def refuse_modality(batch: Batch, wanted: str, regime: str) -> None:
    if batch.modality != wanted:
        raise InputError(f"{regime} learns from {wanted}s, and a batch of {batch.modality}s came: fix its data")
