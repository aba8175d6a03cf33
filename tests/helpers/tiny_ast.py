"""Tiny audio encoders of random weights, in the formats that transformers publishes theirs in."""

from __future__ import annotations

from pathlib import Path

import transformers

from pseudocap.model.network import seeded

WIDTH = 12
BINS, FRAMES = 16, 32  # of a window, which is 0.32 s


def write_ast(folder: Path, *, seed: int = 0) -> Path:
    """An AST of two layers whose windows are 0.32 s long."""
    shape = {"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    patches = {"patch_size": 8, "frequency_stride": 8, "time_stride": 8}
    config = transformers.ASTConfig(num_mel_bins=BINS, max_length=FRAMES, **shape, **patches)
    with seeded(seed):
        transformers.ASTModel(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(num_mel_bins=BINS, max_length=FRAMES).save_pretrained(folder)
    return folder
