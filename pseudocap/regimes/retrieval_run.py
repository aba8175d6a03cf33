"""Fine-tune a retriever from end to end: measured before, kept wherever validation finds it better, resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pseudocap.data.caption_data import CaptionData
from pseudocap.files.sources import read_json
from pseudocap.regimes.checkpointing import RESULTS
from pseudocap.regimes.finetune_run import fit, measured_last, why
from pseudocap.regimes.retrieval import Retrieval


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedRetriever:
    """Hold the result: `retriever` is the directory that `from_pretrained` loads, the others are scores on held-out
    videos."""

    retriever: Path
    before: dict[str, float]
    best: dict[str, float]
    last: dict[str, float]
    stopped: str
    steps: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "retriever": str(self.retriever)}


def tune_retriever(module: Retrieval, data: CaptionData, out: Path, **settings: Any) -> TunedRetriever:
    """Fit until the sum of validation's recalls has not risen for `patience` epochs, with the settings of `fit`."""
    fitted = fit(module, data, out, **settings)
    last = measured_last(module, fitted)
    kept: dict[str, Any] = dict(read_json(out / "best" / RESULTS))
    return TunedRetriever(
        retriever=out / "best",
        before=fitted.baseline.scores,
        best=kept["scores"],
        last=last.scores,
        stopped=why(fitted, "the sum of recalls"),
        steps=fitted.trainer.global_step,
    )
