"""Small VALORs over tiny real backbones: a BERT, a TimeSformer, an AST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from helpers.loud_weights import with_loud_weights
from helpers.retrievers import write_bert
from helpers.tiny_ast import write_ast
from pseudocap.memory import Axis, Memory
from pseudocap.valor import ValorModel

WIDTH, HEARD_WIDTH = 16, 12  # of what the encoders give


def write_valor_backbones(folder: Path) -> Path:
    write_bert(folder / "bert", layers=2)
    write_ast(folder / "ast")
    return folder


def build_valor(backbones: Path, own: Path, **settings: Any) -> ValorModel:
    """Return a model whose learned matrices are of a useful size; `own` has what write_valor_backbones wrote."""
    loud = settings.pop("loud", True)
    encoders = {"encoder": backbones / "timesformer", "audio_encoder": own / "ast"}
    given = {"text": own / "bert", **encoders, "dim": 8, "num_frames": 4, "device": "cpu", **settings}
    model = ValorModel.from_backbones(**given)
    return with_loud_weights(model) if loud else model


def random_memory(
    clips: int = 3, *, frames: int = 2, patches: int = 4, moments: int = 3, silent: tuple[int, ...] = (), seed: int = 0
) -> Memory:
    """Return a memory of noise with patches and sound, of which these clips have none."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.randn(clips, frames, patches, WIDTH, generator=generator)
    memory = Memory.of_sight(time=grid.amax(2), space=grid.amax(1), patches=grid)
    if moments:
        mask = torch.ones(clips, moments, dtype=torch.bool)
        mask[list(silent)] = False
        memory.axes["sound"] = Axis(torch.randn(clips, moments, HEARD_WIDTH, generator=generator), mask)
    return memory
