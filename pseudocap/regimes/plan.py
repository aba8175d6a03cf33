"""Plan how long and how fast the regimes of one comparison learn, and write the command lines for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pseudocap.regimes.table import REGIMES, STEPS, UNTRAINED


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingPlan:
    """Set pre-training and fine-tuning, the same for every regime but for the data and mixed-ext's length."""

    steps: int = 400
    longer: int = 10  # times as many steps for mixed-ext, as in the papers
    batch: int = 16
    lr: float = 2e-3
    warmup: int = 50
    tuning_lr: float = 1e-3
    tuning_batch: int = 32
    tuning_epochs: int = 30
    tuning_patience: int = 6

    def steps_of(self, regime: str) -> int:
        extended = regime != UNTRAINED and REGIMES[regime].steps > STEPS
        return self.steps * (self.longer if extended else 1)

    def settings(self, *, tuning: bool) -> dict[str, Any]:
        """Return what pre-training or fine-tuning is made by: another fine-tuning leaves the pre-training as it is."""
        return {name: value for name, value in asdict(self).items() if name.startswith("tuning_") == tuning}

    def training_words(self, regime: str, *, seed: int, decoder: str, encoder: str, out: str) -> tuple[str, ...]:
        """Return the arguments of `pseudocap train` but for the data."""
        return (
            *("train", regime, "--config", "toy", "--out", out, "--seed_everything", str(seed)),
            *("--model.model.init_args.decoder", decoder, "--model.model.init_args.encoder", encoder),
            *("--model.optimisation.lr", str(self.lr), "--model.optimisation.warmup_steps", str(self.warmup)),
            *("--data.batch_size", str(self.batch), "--data.workers", "0", "--data.seed", str(seed)),
            *("--trainer.max_steps", str(self.steps_of(regime)), "--trainer.accelerator", "auto"),
            *("--trainer.enable_progress_bar", "false", "--checkpoint_every", "200"),
        )

    def tuning_words(self, *, start: str, captions: str, memories: str, out: str, seed: int) -> tuple[str, ...]:
        """Return the arguments of `pseudocap finetune`."""
        return (
            *("finetune", "--from", start, "--data", captions, "--videos", "world/msrvtt/videos"),
            *("--memories", memories, "--out", out, "--lr", str(self.tuning_lr)),
            *("--batch-size", str(self.tuning_batch), "--max-epochs", str(self.tuning_epochs)),
            *("--patience", str(self.tuning_patience), "--seed", str(seed), "--workers", "0", "--json"),
        )
