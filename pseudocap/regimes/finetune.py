"""Fine-tune a captioner, pre-trained by any regime, on captions that people wrote of videos.

In the papers' ablation all regimes are compared after this, on MSR-VTT's and MSVD's captions. Crops may be larger here
than in pre-training: 320 to 380 pixels after 224 were better than 320 throughout. The schedule of convex gates stays
where pre-training left it.
"""

from __future__ import annotations

import torch

from pseudocap.regimes.base import Regime
from pseudocap.types import Batch


class FineTune(Regime):
    """Learn from `CaptionData(captions)`: `Trainer().fit(FineTune(model), CaptionData("captions.jsonl"))`."""

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        losses = self.caption_losses(batch, batch_index)
        self.log_losses(losses, batch)
        return losses.total
