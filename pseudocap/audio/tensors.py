"""Pad the sounds of clips to one batch for an audio encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

Sound = tuple[torch.Tensor, torch.Tensor]  # windows [W,F,M], and how many frames of each are real [W]


def pad_sounds(sounds: Sequence[Sound | None]) -> Sound | None:
    """Pad windows to the most, [B,W,F,M], with their lengths [B,W], which are 0 of a clip without sound; None where no
    clip has any."""
    example = next((sound for sound in sounds if sound is not None), None)
    if example is None:
        return None
    silent = (example[0][:0], example[1][:0])
    windows, lengths = zip(*(silent if sound is None else sound for sound in sounds), strict=True)
    return pad_sequence(list(windows), batch_first=True), pad_sequence(list(lengths), batch_first=True)
