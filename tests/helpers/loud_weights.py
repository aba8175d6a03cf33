"""Random weights of a useful size for what learns: at its start a wrong one goes unnoticed."""

from __future__ import annotations

from typing import TypeVar

import torch

from pseudocap import PseudoCap
from pseudocap.retriever import Retriever
from pseudocap.valor import ValorModel

Model = TypeVar("Model", PseudoCap, Retriever, ValorModel)


def with_loud_weights(model: Model, *, std: float = 0.3, seed: int = 1) -> Model:
    """Draw every matrix that learns anew, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.trainable_names and parameter.dim() == 2:
                parameter.normal_(std=std, generator=generator)
    return model
