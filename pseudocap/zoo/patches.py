"""Compute what every patch of every frame holds, and how it moves: the exact answers that only a drawn world has.

An encoder that must name the thing under each patch, and predict how that thing changes from frame to frame, has many
answers to learn from in every clip. Published encoders and teachers start from millions of labelled pictures and clips,
which this stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pseudocap.toyworld.actions import camera, poses
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.scenes import COLOURS, TICKS, Film

NOTHING = 0  # the ground; kinds and colours count from 1
KIND_IDS = {name: number for number, name in enumerate(KINDS, start=1)}
COLOUR_IDS = {name: number for number, name in enumerate(COLOURS, start=1)}


NOBODY = 255  # the number of the thing where there is none
MOST = 8  # things in a shot
# How a thing may change, and by how much it does in an eighth of a clip when it does.
CHANGES = {
    **{"x": 0.1, "y": 0.1, "angle": 60.0, "scale": 0.1, "alpha": 0.2, "mix": 0.2},
    **{"opened": 0.2, "level": 0.2, "glow": 0.2, "split": 0.05, "stream": 0.2},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchAnswers:
    """Hold of every patch, [T, S] uint8, kind, colour and number of the nearest thing over its middle; and of every
    thing how it stands, float32 [T, MOST, CHANGES], in units of what it changes by."""

    kinds: np.ndarray
    colours: np.ndarray
    things: np.ndarray
    poses: np.ndarray


def patch_answers(film: Film, frames: Sequence[int], grid: int) -> PatchAnswers:
    kinds = np.zeros((len(frames), grid, grid), np.uint8)
    colours, things = np.zeros_like(kinds), np.full_like(kinds, NOBODY)
    stand = np.zeros((len(frames), MOST, len(CHANGES)), np.float32)
    middles = (np.arange(grid) + 0.5) / grid
    for number, frame in enumerate(frames):
        shot, index = film.shot_at(frame)
        tick = np.array([index * TICKS + TICKS // 2])
        at, pan = poses(shot, tick), camera(shot, tick)
        for who, thing in enumerate(shot.things):  # from the farthest to the nearest
            stand[number, who] = [getattr(at, name)[who, 0] / unit for name, unit in CHANGES.items()]
            if at.alpha[who, 0] < 0.3:
                continue
            reach = 0.5 * thing.height * at.scale[who, 0]
            split = at.split[who, 0]
            for side in (-1, 1) if split else (0,):
                across = np.abs(middles - (at.x[who, 0] - pan[0] + side * split)) < reach
                down = np.abs(middles - at.y[who, 0]) < reach
                colour = thing.becomes if thing.becomes and at.mix[who, 0] > 0.5 else thing.colour
                under = np.ix_(down, across)
                kinds[number][under], colours[number][under] = KIND_IDS[thing.kind], COLOUR_IDS[colour]
                things[number][under] = who
    flat = (len(frames), grid * grid)
    return PatchAnswers(
        kinds=kinds.reshape(flat), colours=colours.reshape(flat), things=things.reshape(flat), poses=stand
    )


def changes(things: np.ndarray, stand: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how the thing under every patch has changed since the frame before, and will until the next: float [B, T,
    S, 2, CHANGES], and where that is known, bool [B, T, S, 2]."""
    between = np.clip(np.diff(stand, axis=1), -3, 3)  # [B, T - 1, MOST, CHANGES]
    each = np.zeros((*stand.shape[:3], 2, stand.shape[3]), np.float32)
    each[:, 1:, :, 0], each[:, :-1, :, 1] = between, between
    there = things != NOBODY
    rows, frames = np.ogrid[: len(things), : things.shape[1]]
    of_patches = each[rows[..., None], frames[..., None], np.where(there, things, 0)]
    known = np.stack([there, there], axis=-1)
    known[:, 0, :, 0] = known[:, -1, :, 1] = False
    return torch.from_numpy(of_patches), torch.from_numpy(known)


class PatchHeads(nn.Module):
    """Name the thing and its colour under every patch, and how it changes. Only the encoder below is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, len(KIND_IDS) + 1)
        self.colour = nn.Linear(width, len(COLOUR_IDS) + 1)
        self.change = nn.Linear(width, 2 * len(CHANGES))

    def loss(self, features: torch.Tensor, kinds: np.ndarray, colours: np.ndarray) -> torch.Tensor:
        """Score `features` [..., E] of as many patches as answers. Ground, four patches in five, counts less."""
        logits = self.kind(features).flatten(0, -2)
        weights = torch.ones(logits.shape[1])
        weights[NOTHING] = 0.1
        right = torch.from_numpy(kinds.astype(np.int64)).flatten()
        tones = torch.from_numpy(colours.astype(np.int64)).flatten()
        return F.cross_entropy(logits, right, weight=weights) + 0.5 * F.cross_entropy(
            self.colour(features).flatten(0, -2), tones
        )

    def change_loss(self, features: torch.Tensor, things: np.ndarray, stand: np.ndarray) -> torch.Tensor:
        """Score `features` [B, T, S, E] of several frames."""
        right, known = changes(things, stand)
        predicted = self.change(features).unflatten(-1, (2, len(CHANGES)))
        return F.smooth_l1_loss(predicted[known], right[known])

    def right(self, features: torch.Tensor, kinds: np.ndarray) -> float:
        """Return how often the thing is named right where there is one."""
        there = kinds != NOTHING
        return float((self.kind(features).argmax(-1).numpy() == kinds)[there].mean()) if there.any() else 0.0
