"""What every patch of every frame shows: the exact answers that only a drawn world has.

An encoder that must name the thing under each patch has many answers to learn from in every picture. Published encoders
and teachers start from millions of labelled pictures, which this stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.toyworld.actions import camera, poses
from pseudocap.toyworld.kinds_still import KINDS
from pseudocap.toyworld.scenes import COLOURS, TICKS, Film

NOTHING = 0  # the ground; kinds and colours count from 1
KIND_IDS = {name: number for number, name in enumerate(KINDS, start=1)}
COLOUR_IDS = {name: number for number, name in enumerate(COLOURS, start=1)}


def patch_answers(film: Film, frames: Sequence[int], grid: int) -> tuple[np.ndarray, np.ndarray]:
    """The kind and the colour of the nearest thing over the middle of each patch, uint8 [T, grid * grid] both."""
    kinds = np.zeros((len(frames), grid, grid), np.uint8)
    colours = np.zeros_like(kinds)
    middles = (np.arange(grid) + 0.5) / grid
    for number, frame in enumerate(frames):
        shot, place = film.shot_at(frame)
        tick = np.array([place * TICKS + TICKS // 2])
        at, pan = poses(shot, tick), camera(shot, tick)
        for who, thing in enumerate(shot.things):  # from the farthest to the nearest
            if at.alpha[who, 0] < 0.3:
                continue
            reach = 0.5 * thing.height * at.scale[who, 0]
            split = at.split[who, 0]
            for side in (-1, 1) if split else (0,):
                across = np.abs(middles - (at.x[who, 0] - pan[0] + side * split)) < reach
                down = np.abs(middles - at.y[who, 0]) < reach
                colour = thing.becomes if thing.becomes and at.mix[who, 0] > 0.5 else thing.colour
                kinds[number][np.ix_(down, across)] = KIND_IDS[thing.kind]
                colours[number][np.ix_(down, across)] = COLOUR_IDS[colour]
    return kinds.reshape(len(frames), -1), colours.reshape(len(frames), -1)


class PatchHeads(nn.Module):
    """Names the thing and its colour under every patch. Only the encoder below is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, len(KIND_IDS) + 1)
        self.colour = nn.Linear(width, len(COLOUR_IDS) + 1)

    def loss(self, features: torch.Tensor, kinds: np.ndarray, colours: np.ndarray) -> torch.Tensor:
        """`features` [..., E] of as many patches as there are answers. Ground, four patches in five, counts less."""
        said = self.kind(features).flatten(0, -2)
        weights = torch.ones(said.shape[1])
        weights[NOTHING] = 0.1
        right = torch.from_numpy(kinds.astype(np.int64)).flatten()
        tones = torch.from_numpy(colours.astype(np.int64)).flatten()
        return F.cross_entropy(said, right, weight=weights) + 0.5 * F.cross_entropy(
            self.colour(features).flatten(0, -2), tones
        )

    def right(self, features: torch.Tensor, kinds: np.ndarray) -> float:
        """How often the thing is named right where there is one."""
        there = kinds != NOTHING
        return float((self.kind(features).argmax(-1).numpy() == kinds)[there].mean()) if there.any() else 0.0
