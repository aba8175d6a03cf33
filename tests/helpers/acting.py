"""Films of one action each, and what can be measured in pictures of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pseudocap.toyworld.actions import VERBS
from pseudocap.toyworld.scenes import COLOURS, TICKS, Action, Film, Shot, Thing

FRAMES = 40
ACTORS = {"open": "gift", "pour": "jug", "light": "lamp"}  # a ball does the rest
BALL = Thing(kind="ball", colour="red", x=0.5, y=0.5)


def film_of(verb: str, *, backward: bool = False, vector: tuple[float, float] = (0.3, 0.0), **shot: object) -> Film:
    """One action from a quarter to three quarters of five seconds: by a ball, and where it takes two, to a box."""
    patient = VERBS[verb].patient
    things = [
        replace(BALL, kind=ACTORS.get(verb, "ball"), x=0.5 - vector[0] / 2, y=0.5 - vector[1] / 2, becomes="blue")
    ]
    if patient:
        things.append(Thing(kind="glass" if verb == "pour" else "box", colour="green", size="big", x=0.5, y=0.5))
    action = Action(
        verb=verb,
        actor=0,
        patient=1 if patient else None,
        start=FRAMES * TICKS // 4,
        end=FRAMES * TICKS * 3 // 4,
        vector=vector,
        backward=backward,
    )
    options = {"background": "wall", "frames": FRAMES, **shot}
    return Film(shots=(Shot(things=tuple(things), actions=(action,), **options),))


def near(frame: np.ndarray, colour: str, *, within: float = 60) -> np.ndarray:
    """Which pixels have about this colour, [row, column]."""
    return np.abs(frame.astype(float) - np.array(COLOURS[colour])).max(-1) < within


def centre_of(frame: np.ndarray, colour: str) -> tuple[float, float]:
    """x and y of the middle of all that has a colour, as parts of the picture."""
    rows, columns = np.nonzero(near(frame, colour))
    assert len(rows) > 4, f"nothing {colour} is to be seen"
    return float((columns.mean() + 0.5) / frame.shape[1]), float((rows.mean() + 0.5) / frame.shape[0])
