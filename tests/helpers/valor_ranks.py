"""One process of a VALOR's run on two ranks: `python valor_ranks.py BACKBONES OWN OUT`; saves what each rank learned
from its half of the clips that `learn` learns from on one. The second rank's clips are silent."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import torch

from helpers.retrieval_ranks import fit_one_step
from helpers.valors import build_valor, random_memory
from pseudocap.regimes.valor import Valor
from pseudocap.types import Batch

CLIPS = 4
CAPTIONS = (
    "a red square moves to the left", "a blue square", "two dogs", "a blue square moves up and then stops",
    "guitar on a stage", "two dogs play", "a square", "red and blue dogs",
)  # fmt: skip
SILENT = {"half": (2, 3)}


def batches(silent: str, rank: int, ranks: int) -> list[Batch]:
    """This rank's part of one batch of four clips with two captions each."""
    each = CLIPS // ranks
    rows = slice(rank * each, (rank + 1) * each)
    memory = random_memory(CLIPS, silent=SILENT[silent])[rows]
    keys = tuple(f"clip {number}" for number in range(CLIPS))[rows]
    captions = CAPTIONS[2 * rank * each : 2 * (rank + 1) * each]
    references = tuple(zip(captions[::2], captions[1::2], strict=True))
    return [Batch(keys=keys, modality="video", captions=captions, references=references, memory=memory, step=0)]


def learn(backbones: Path, own: Path, out: Path, devices: int, silent: str) -> None:
    model = build_valor(backbones, own)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    fit_one_step(Valor(model), functools.partial(batches, silent), out, devices, silent)


def main() -> None:
    torch.set_num_threads(1)
    for silent in SILENT:
        learn(*map(Path, sys.argv[1:4]), devices=2, silent=silent)


if __name__ == "__main__":
    main()
