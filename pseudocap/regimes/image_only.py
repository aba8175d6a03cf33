"""Train on images only: pictures with alt text, each a video of one frame. No video is seen before fine-tuning.

The papers: 4,000 steps at a batch of 1,200 from LAION; MSR-VTT validation CIDEr-D 49.6 after fine-tuning.
"""

from __future__ import annotations

import torch

from pseudocap.regimes.base import PreTraining, refuse_modality
from pseudocap.regimes.table import REGIMES
from pseudocap.types import Batch


class ImageOnly(PreTraining):
    """Learn from images: `StreamData(images=tars)`."""

    steps = REGIMES["image-only"].steps

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        refuse_modality(batch, "image", "ImageOnly")
        losses = self.caption_losses(batch, batch_index)
        self.log_losses(losses, batch)
        return losses.total
