"""What every patch of every frame shows: the exact answers that only a drawn world has.

An encoder that must name the thing under each patch learns what things are from tens of thousands of pictures, where
one answer a picture would need millions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
