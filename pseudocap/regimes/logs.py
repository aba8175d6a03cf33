"""Log a run's gates, and its metrics as CSV that a resumed run appends to."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from pseudocap.captioner import PseudoCap


class _AppendingWriter(ExperimentWriter):
    """Append to metrics, which Lightning's writer deletes. Steps that a resumed run takes again are there twice."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = list(next(csv.reader(file), []))


class RunLogger(CSVLogger):
    """Write `metrics.csv` in the run's folder itself, continuing the one that is there."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, name="", version="")
        self._experiment: ExperimentWriter | None = None

    @property
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None and rank_zero_only.rank == 0:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = _AppendingWriter(log_dir=self.log_dir)
        return super().experiment

    def after_save_checkpoint(self, checkpoint_callback: object) -> None:
        """Write what was logged up to a checkpoint: a run that resumes there does not log it again."""
        self.save()


def gate_statistics(model: PseudoCap) -> dict[str, float]:
    """Compute how far each adapter opened: mean, spread and extremes of its gates; of one that hears also how much its
    W_mix takes of each axis."""
    values: dict[str, float] = {}
    for layer, adapter in model.adapters.items():
        for name, gate in adapter.gates().items():
            gate = gate.detach().float()
            statistics = {"mean": gate.mean(), "std": gate.std(correction=0), "min": gate.min(), "max": gate.max()}
            values |= {f"gates/{layer}/{name}/{each}": float(value) for each, value in statistics.items()}
        if model.config.hears:
            values |= {f"gates/{layer}/mix/{axis}": value for axis, value in adapter.mixed().items()}
    return values
