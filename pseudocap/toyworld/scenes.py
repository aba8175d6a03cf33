"""Describe a film exactly: things, what they do and when, the ground behind them, the camera.

A scene is data; `actions.poses` says where everything is at a time, `render` draws it, `grammar` captions it. Times
are integer ticks, so that a film and its mirror image in time hold the same pictures to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FPS = 8
TICKS = 12  # of a frame; frame k is exposed around tick 12 k + 6

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (240, 138, 30),
    "yellow": (246, 212, 50),
    "green": (52, 160, 62),
    "turquoise": (48, 196, 190),
    "blue": (44, 92, 210),
    "purple": (132, 62, 178),
    "pink": (244, 134, 178),
    "brown": (134, 84, 46),
    "white": (240, 240, 240),
    "grey": (134, 138, 146),
    "black": (44, 44, 50),
}
MATERIALS = ("plain", "striped", "dotted", "checked", "shiny", "wooden")
SIZES = {"small": 0.24, "medium": 0.32, "big": 0.42}  # of the picture's height


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """Describe one object before anything happens. `x`, `y` are its centre, the picture being the unit square.

    `facing` is 1 or -1 and gives no hint which way it will go. `becomes` is the colour that it turns into.
    """

    kind: str
    colour: str
    material: str = "plain"
    size: str = "medium"
    x: float = 0.5
    y: float = 0.5
    depth: float = 1.0  # how much of its size is left at its distance
    facing: int = 1
    becomes: str | None = None

    @property
    def height(self) -> float:
        return SIZES[self.size] * self.depth


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Describe an action: `verb` of `actions`; `actor`, `patient` index the shot's things; `start`, `end` in ticks.

    `vector` is how far and where the motion goes, or its sign which way it turns. `backward` plays it from its end
    to its start: a thing that grows, backward, shrinks.
    """

    verb: str
    actor: int
    patient: int | None = None
    start: int
    end: int
    vector: tuple[float, float] = (0.0, 0.0)
    backward: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """Describe a shot, filmed without a cut: things from the farthest to the nearest; `pan` is the camera's motion."""

    things: tuple[Thing, ...]
    actions: tuple[Action, ...]
    background: str
    frames: int
    pan: float = 0.0
    light: float = 1.0
    texture: int = 0

    @property
    def ticks(self) -> int:
        return self.frames * TICKS


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """Hold the shots of a film, in order."""

    shots: tuple[Shot, ...]

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def seconds(self) -> float:
        return self.frames / FPS

    def shot_at(self, frame: int) -> tuple[Shot, int]:
        """Return the shot that a frame belongs to, and the frame's index in it."""
        for shot in self.shots:
            if frame < shot.frames:
                return shot, frame
            frame -= shot.frames
        raise IndexError(f"the film has {self.frames} frames")


def mirrored(film: Film) -> Film:
    """Return the film run backwards, as a film of its own: every action is its reverse."""
    shots = []
    for shot in reversed(film.shots):
        turned = (
            replace(each, start=shot.ticks - each.end, end=shot.ticks - each.start, backward=not each.backward)
            for each in shot.actions
        )
        shots.append(replace(shot, actions=tuple(turned), pan=-shot.pan))
    return Film(shots=tuple(shots))
