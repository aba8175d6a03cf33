"""Define the choreographies: what each verb does to the poses of its actor and patient, and its name either way.

A choreography is a function of progress p from 0 to 1, over all times at once. Played from 1 to 0 it is the reverse
action: one function gives both, so their pictures are the same and only their order differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pseudocap.toyworld.scenes import Action, Film, Shot

Array = np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Poses:
    """Hold the pose of every thing at every time, [thing, time]. `angle` in degrees clockwise; `mix` towards `becomes`.

    `split` is the distance of a thing's two halves from its middle, `stream` whether it pours.
    """

    x: Array
    y: Array
    angle: Array
    scale: Array
    alpha: Array
    mix: Array
    opened: Array
    level: Array
    glow: Array
    split: Array
    stream: Array


Choreography = Callable[[Poses, int, int, tuple[float, float], Array], None]
Amount = Callable[[Array], Array]
IDLE_LEVEL = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """Describe a verb: `names` of action and reverse; if `trades`, actor and patient change roles in the reverse."""

    play: Choreography
    names: tuple[str, str]
    direction: str = ""  # "", "way" (left, right, up, down) or "turn" (clockwise, anticlockwise)
    patient: bool = False
    trades: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Name an action: who does what to whom, and which way. `start` and `end` in ticks."""

    name: str
    actor: int
    patient: int | None
    direction: str
    start: int
    end: int
    backward: bool


def clipped(p: Array) -> Array:
    return np.clip(p, 0.0, 1.0)


def ease(p: Array) -> Array:
    """Go from 0 to 1, slow at both ends."""
    p = clipped(p)
    return p * p * (3 - 2 * p)


def hump(p: Array) -> Array:
    """Go from 0 to 1 and back."""
    return np.sin(np.pi * clipped(p))


def swing(p: Array) -> Array:
    """Go to and fro around 0, most in the middle."""
    return hump(p) * np.sin(10 * np.pi * clipped(p))


def fall(p: Array) -> Array:
    """Go from 0 to 1, faster and faster."""
    return clipped(p) ** 2


def _move(poses: Poses, thing: int, way: tuple[float, float], amount: Array) -> None:
    poses.x[thing] += way[0] * amount
    poses.y[thing] += way[1] * amount


def moving(actor: Amount, patient: Amount | None = None) -> Choreography:
    """Move the actor its way by an amount that depends on the progress, and the patient by another."""

    def play(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
        _move(poses, a, way, actor(p))
        if patient is not None:
            _move(poses, b, way, patient(p))

    return play


def turning(degrees: float) -> Choreography:
    """Turn the actor its way."""

    def play(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
        poses.angle[a] += np.sign(way[0]) * degrees * ease(p)

    return play


def changing(name: str, change: Callable[[Array, Array], Array]) -> Choreography:
    """Change one of the actor's poses, from what it is and the progress."""

    def play(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
        pose = getattr(poses, name)
        pose[a] = change(pose[a], p)

    return play


def together(*parts: Choreography) -> Choreography:
    """Play several at once."""

    def play(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
        for part in parts:
            part(poses, a, b, way, p)

    return play


slide = moving(ease)
halt = moving(lambda p: clipped(p / 0.5))
there_and_back = moving(hump)
drop = moving(fall)
follow = moving(ease, ease)  # chasing, pushing, carrying differ in where the two begin
hit = moving(lambda p: clipped(2 * p), lambda p: clipped(2 * p - 1))
pick_up = moving(lambda p: ease((p - 0.5) / 0.5) - ease(p / 0.4), lambda p: ease((p - 0.5) / 0.5))
meet = moving(ease, lambda p: -ease(p))
roll, spin = together(slide, turning(360)), turning(720)
grow = changing("scale", lambda scale, p: scale * (1 + 0.9 * ease(p)))
approach = together(grow, slide)
bounce = together(moving(clipped), changing("y", lambda y, p: y - 0.34 * np.abs(np.sin(3 * np.pi * clipped(p)))))
jump = changing("y", lambda y, p: y - 0.32 * clipped(np.sin(4 * np.pi * clipped(p))))
jump_over = together(moving(clipped), changing("y", lambda y, p: y - 0.46 * hump(p)))
swap = together(meet, changing("y", lambda y, p: y - 0.34 * hump(p)))
shake = together(
    changing("angle", lambda angle, p: angle + 22 * swing(p)), changing("x", lambda x, p: x + 0.03 * swing(p))
)
split = together(
    changing("split", lambda apart, p: apart + 0.24 * ease(p)),
    changing("scale", lambda scale, p: scale * (1 - 0.3 * ease(p))),
)
fade = changing("alpha", lambda alpha, p: alpha * (1 - ease(p)))
recolour, open_up = (changing(name, lambda _, p: ease(p)) for name in ("mix", "opened"))
light_up = changing("glow", lambda _, p: ease((p - 0.4) / 0.2))


def topple(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
    poses.angle[a] += np.sign(way[0]) * 90 * fall(p)
    _move(poses, a, (way[0], abs(way[0]) * 0.3), fall(p))


def circle(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
    """Move once around a circle of radius |way|, from its lowest point."""
    angle = 2 * np.pi * ease(p) * np.sign(way[0])
    poses.x[a] -= abs(way[0]) * np.sin(angle)
    poses.y[a] -= abs(way[0]) * (1 - np.cos(angle))


def pour(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
    poses.angle[a] += np.sign(way[0]) * 75 * (ease(p / 0.25) - ease((p - 0.75) / 0.25))
    poses.level[b] = ease((p - 0.25) / 0.5)
    poses.stream[a] = np.maximum(poses.stream[a], (p > 0.25) & (p < 0.75))


def eat(poses: Poses, a: int, b: int, way: tuple[float, float], p: Array) -> None:
    _move(poses, a, way, ease(p / 0.6))
    poses.scale[b] *= 1 - ease((p - 0.45) / 0.2)
    poses.scale[a] *= 1 + 0.2 * ease((p - 0.5) / 0.3)


WAY, TURN = "way", "turn"
VERBS: dict[str, Verb] = {
    "slide": Verb(play=slide, names=("go", "go"), direction=WAY),
    "roll": Verb(play=roll, names=("roll", "roll"), direction=WAY),
    "leave": Verb(play=slide, names=("leave", "enter"), direction=WAY),
    "halt": Verb(play=halt, names=("stop", "start"), direction=WAY),
    "return": Verb(play=there_and_back, names=("return", "return"), direction=WAY),
    "approach": Verb(play=approach, names=("come closer", "go away")),
    "grow": Verb(play=grow, names=("grow", "shrink")),
    "spin": Verb(play=spin, names=("spin", "spin"), direction=TURN),
    "topple": Verb(play=topple, names=("fall over", "stand up")),
    "bounce": Verb(play=bounce, names=("bounce", "bounce"), direction=WAY),
    "jump": Verb(play=jump, names=("jump", "jump")),
    "drop": Verb(play=drop, names=("drop", "shoot up")),
    "split": Verb(play=split, names=("split", "join")),
    "fade": Verb(play=fade, names=("vanish", "appear")),
    "recolour": Verb(play=recolour, names=("turn colour", "turn colour")),
    "open": Verb(play=open_up, names=("open", "close")),
    "light": Verb(play=light_up, names=("light up", "go dark")),
    "shake": Verb(play=shake, names=("shake", "shake")),
    "circle": Verb(play=circle, names=("circle", "circle"), direction=TURN),
    "orbit": Verb(play=circle, names=("orbit", "orbit"), direction=TURN, patient=True),
    "pass behind": Verb(play=slide, names=("pass behind", "pass behind"), direction=WAY, patient=True),
    "pass in front": Verb(play=slide, names=("pass in front", "pass in front"), direction=WAY, patient=True),
    "hide": Verb(play=slide, names=("hide", "come out"), patient=True),
    "chase": Verb(play=follow, names=("chase", "chase"), direction=WAY, patient=True, trades=True),
    "push": Verb(play=follow, names=("push", "pull"), direction=WAY, patient=True),
    "carry": Verb(play=follow, names=("carry", "carry"), direction=WAY, patient=True),
    "hit": Verb(play=hit, names=("hit", "hit"), direction=WAY, patient=True, trades=True),
    "pick up": Verb(play=pick_up, names=("pick up", "put down"), patient=True),
    "pour": Verb(play=pour, names=("pour", "suck out"), patient=True),
    "meet": Verb(play=meet, names=("meet", "part"), patient=True),
    "swap": Verb(play=swap, names=("swap", "swap"), patient=True),
    "jump over": Verb(play=jump_over, names=("jump over", "jump over"), direction=WAY, patient=True),
    "eat": Verb(play=eat, names=("eat", "spit out"), patient=True),
}
SAME_BOTH_WAYS = frozenset({"jump", "shake", "return", "swap"})  # they look the same as their reverse


def poses(shot: Shot, ticks: np.ndarray) -> Poses:
    """Compute the pose of every thing at these ticks of the shot, without the camera's pan."""
    size = (len(shot.things), len(ticks))
    found = Poses(
        x=np.ones(size) * np.array([thing.x for thing in shot.things])[:, None],
        y=np.ones(size) * np.array([thing.y for thing in shot.things])[:, None],
        scale=np.ones(size),
        alpha=np.ones(size),
        level=np.full(size, IDLE_LEVEL),
        **{name: np.zeros(size) for name in ("angle", "mix", "opened", "glow", "split", "stream")},
    )
    for action in shot.actions:
        patient = action.actor if action.patient is None else action.patient
        VERBS[action.verb].play(found, action.actor, patient, action.vector, progress(action, ticks))
    return found


def progress(action: Action, ticks: np.ndarray) -> np.ndarray:
    """Return 0 to 1: differences of integer ticks, so that the mirror image divides the very same numbers."""
    since = action.end - ticks if action.backward else ticks - action.start
    return np.clip(since / (action.end - action.start), 0.0, 1.0)


def camera(shot: Shot, ticks: np.ndarray) -> np.ndarray:
    """Return how far to the right the camera points, in picture widths."""
    since = ticks if shot.pan > 0 else shot.ticks - ticks
    return abs(shot.pan) * (ease(since / shot.ticks) - 0.5)


def event(action: Action) -> Event:
    """Name the action, given which way it is played."""
    verb = VERBS[action.verb]
    actor, patient = action.actor, action.patient
    if verb.trades and action.backward and patient is not None:
        actor, patient = patient, actor
    dx, dy = (-each for each in action.vector) if action.backward else action.vector
    direction = ""
    if verb.direction == TURN:
        direction = "clockwise" if dx > 0 else "anticlockwise"
    elif verb.direction == WAY and max(abs(dx), abs(dy)) > 0:
        direction = ("right" if dx > 0 else "left") if abs(dx) >= abs(dy) else ("down" if dy > 0 else "up")
    if action.verb == "return" and action.backward:  # out and back is out and back
        direction = {"left": "right", "right": "left", "up": "down", "down": "up"}[direction]
    return Event(
        name=verb.names[action.backward],
        actor=actor,
        patient=patient,
        direction=direction,
        start=action.start,
        end=action.end,
        backward=action.backward,
    )


def events(shot: Shot) -> tuple[Event, ...]:
    """List the events of the shot, in the order in which they begin."""
    return tuple(sorted((event(action) for action in shot.actions), key=lambda each: (each.start, each.actor)))


def film_events(film: Film) -> list[tuple[Shot, Event]]:
    return [(shot, each) for shot in film.shots for each in events(shot)]
