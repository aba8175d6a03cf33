"""A tiny LightningModule that writes down what it is given; as a script, one process of a run that a test may kill.

`python recorder.py '{"captions": ..., "folder": ..., ...}'`
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from pseudocap.data import CaptionData, StreamData
from pseudocap.types import Batch, Preprocess

SMALL = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), frames=2)


class Recorder(lightning.LightningModule):
    """One line a batch into `<folder>/<stage>-<rank>.jsonl`: step, keys, captions, and the sum of its pixels."""

    def __init__(self, folder: Path, *, preprocess: Preprocess | None = SMALL, fail_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.model = SimpleNamespace(config=SimpleNamespace(preprocess=preprocess))
        self.folder, self.fail_at = folder, fail_at
        folder.mkdir(parents=True, exist_ok=True)

    def record(self, stage: str, batch: Batch) -> None:
        line = {
            "step": batch.step,
            "epoch": self.current_epoch,
            "modality": batch.modality,
            "stream": batch.stream,
            "keys": batch.keys,
            "captions": batch.captions,
            "references": [len(of_video) for of_video in batch.references],
            "pixels": round(float(batch.frames.double().sum()), 4),
            "shape": list(batch.frames.shape),
        }
        with (self.folder / f"{stage}-{self.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def training_step(self, batch: Batch) -> torch.Tensor:
        if batch.step == self.fail_at:
            raise RuntimeError("as the test wants it")
        self.record("train", batch)
        return (self.weight * batch.frames.mean()).sum()

    def validation_step(self, batch: Batch) -> None:
        self.record("val", batch)

    def test_step(self, batch: Batch) -> None:
        self.record("test", batch)

    def on_test_epoch_end(self) -> None:
        data = self.trainer.datamodule
        coverage = data.gather_coverage() if isinstance(data, CaptionData) else {}
        undecodable = {name: list(found.undecodable) for name, found in coverage.items()}
        (self.folder / f"coverage-{self.global_rank}.json").write_text(json.dumps(undecodable))

    def predict_step(self, batch: Batch) -> tuple[str, ...]:
        return batch.keys

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **options: Any) -> lightning.Trainer:
    warnings.filterwarnings("ignore", module=r"lightning\.")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return lightning.Trainer(**{"accelerator": "cpu", "devices": 1, "default_root_dir": folder, **quiet, **options})


def recorded(folder: Path, stage: str, rank: int = 0) -> list[dict[str, Any]]:
    path = folder / f"{stage}-{rank}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def every_step(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)


def main(setting: dict[str, Any]) -> None:
    """One process of a run (Lightning starts the others): fit, then test, as the setting says."""
    torch.set_num_threads(1)
    folder = Path(setting["folder"])
    data: CaptionData | StreamData
    if "captions" in setting:
        data = CaptionData(setting["captions"], **setting["data"])
    else:
        data = StreamData(setting["images"], setting["videos"], **setting["data"])
    options = setting["trainer"]
    if setting.get("checkpoints"):
        options["callbacks"] = [every_step(folder / "checkpoints")]
    run = trainer(folder, **options)
    run.fit(Recorder(folder), data, ckpt_path=setting.get("resume"))
    if setting.get("test"):
        run.test(Recorder(folder), data)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
