"""Fine-tune a retriever, or a captioner that answers, from end to end: measured before, kept wherever validation finds
it better, resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pseudocap.data.caption_data import CaptionData
from pseudocap.files.sources import read_json
from pseudocap.regimes.base import Learner
from pseudocap.regimes.checkpointing import RESULTS
from pseudocap.regimes.finetune_run import fit, measured_last, why


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedByScore:
    """Hold the result: `folder` is what `from_pretrained` of its `kind` loads, the others are scores on held-out
    videos."""

    kind: str
    folder: Path
    before: dict[str, float]
    best: dict[str, float]
    last: dict[str, float]
    stopped: str
    steps: int

    def to_dict(self) -> dict[str, Any]:
        known = {name: value for name, value in asdict(self).items() if name not in ("kind", "folder")}
        return {self.kind: str(self.folder), **known}


def tune(module: Learner, data: CaptionData, out: Path, *, kind: str, score: str, **settings: Any) -> TunedByScore:
    """Fit until what the module monitors, called `score`, has not risen for `patience` epochs, with the settings of
    `fit`."""
    fitted = fit(module, data, out, **settings)
    last = measured_last(module, fitted)
    kept: dict[str, Any] = dict(read_json(out / "best" / RESULTS))
    return TunedByScore(
        kind=kind,
        folder=out / "best",
        before=fitted.baseline.scores,
        best=kept["scores"],
        last=last.scores,
        stopped=why(fitted, score),
        steps=fitted.trainer.global_step,
    )
