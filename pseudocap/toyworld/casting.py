"""Draw films by chance: which things, who does what, where they stand so that the action fits the picture.

Which way an action is played is a coin flip, and which way a thing faces is another: nothing but the order of the
frames tells an action from its reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pseudocap.toyworld.actions import VERBS
from pseudocap.toyworld.kinds import ANIMALS, KINDS, PEOPLE, VEHICLES
from pseudocap.toyworld.kinds_still import HOUSEHOLD, NATURE, TOYS
from pseudocap.toyworld.scenes import COLOURS, MATERIALS, SIZES, TICKS, Action, Film, Shot, Thing

Rng = np.random.Generator
ALL = tuple(KINDS)
ROOTED = ("tree", "cactus", "house", "castle")  # they never move to another position
GRASPING = ("hand", "crane")  # they only pick up
FREE = tuple(name for name in ALL if name not in GRASPING)
LIVELY = tuple(name for name in (*VEHICLES, *ANIMALS, *PEOPLE) if name in FREE)
MOVABLE = tuple(name for name in FREE if name not in ROOTED)
LITTLE = tuple(name for name in (*TOYS, *HOUSEHOLD, *NATURE) if name not in (*ROOTED, "sun", "moon", "cloud", "table"))
EDIBLE = ("fish", "snail", "butterfly", "spider", "apple", "pear", "carrot", "cake", "ice cream", "mushroom", "star")
BIG = ("tree", "house", "castle", "bus", "truck", "box", "chest", "cloud", "elephant", "table")
COMMON = ("man", "woman", "dog", "cat", "car", "ball", "bird", "box", "cup", "fish")  # most films are about these
OFTEN = 5.0  # how much more than about any other
BACKGROUNDS = ("meadow", "beach", "road", "room", "table top", "snow", "night", "sea", "desert", "space", "wall")
PLAIN_MATERIAL = 0.5
FRONT, BACK = (0.94, 1.0), (0.58, 0.8)  # the ground line of a lane, and the scale of things on it


def able(what: str) -> tuple[str, ...]:
    return tuple(name for name, each in KINDS.items() if what in each.can)


# Who can do it, and to whom.
ACTORS: dict[str, tuple[str, ...]] = {
    "roll": tuple(name for name in ALL if KINDS[name].goes == "roll"),
    "open": able("open"),
    "light": able("light"),
    "pick up": able("pick"),
    "pour": able("pourer"),
    "push": (*able("push"), "tractor", "truck", "elephant", "dog"),
    "carry": ("truck", "boat", "elephant", "turtle", "table", "train"),
    "eat": able("eat"),
    **dict.fromkeys(("chase", "jump over", "pass behind", "pass in front", "hide"), LIVELY),
    "orbit": (*LIVELY, "star", "moon", "ball"),
    **dict.fromkeys(("grow", "fade", "recolour", "shake"), FREE),
}
PATIENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("pick up", "push", "carry"), LITTLE),
    "pour": able("receiver"),
    "eat": EDIBLE,
    "chase": LIVELY,
    "hit": tuple(name for name in MOVABLE if name not in ("sun", "moon", "cloud")),
    "pass behind": (*BIG, *LITTLE),
    "hide": BIG,
}
# What may come before or after another action.
IN_PLACE = ("grow", "spin", "shake", "recolour", "light", "open", "jump")
BEFORE_OR_AFTER = ("slide", "roll", "halt", "return", "bounce", "drop", "circle", "approach", *IN_PLACE)
HIGH = ("pick up", "pour")  # they need the whole height of the picture, so the nearer lane
ALONE = 0.65  # how often nobody else takes part
BY_ONE = 0.6  # how often the same thing does the second action too


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Describe what a corpus films: its kinds and backgrounds, how long a shot is, how much happens in it."""

    kinds: tuple[str, ...] = ALL
    backgrounds: tuple[str, ...] = BACKGROUNDS
    frames: tuple[int, int] = (80, 80)
    second_action: float = 0.6
    cut: float = 0.15
    bystanders: tuple[float, ...] = (0.4, 0.35, 0.25)  # the chances of none, one, two
    pan: float = 0.2


def draw_film(style: Style, rng: Rng) -> Film:
    """Draw one film: usually one shot, sometimes two of half the length."""
    frames = int(rng.integers(style.frames[0], style.frames[1] + 1))
    if rng.random() < style.cut:
        first = int(frames * rng.uniform(0.4, 0.6))
        return Film(shots=tuple(draw_shot(style, rng, frames=each, most=1) for each in (first, frames - first)))
    return Film(shots=(draw_shot(style, rng, frames=frames),))


def draw_shot(style: Style, rng: Rng, *, frames: int, most: int = 2) -> Shot:
    """Draw one shot: one action, or two in succession by the same thing or by others, and the bystanders."""
    two = most > 1 and rng.random() < style.second_action
    ticks = frames * TICKS
    spans = [(0.06, 0.47), (0.53, 0.94)] if two else [(rng.uniform(0.05, 0.25), rng.uniform(0.75, 0.95))]
    taken: set[tuple[str, str]] = set()
    if two and rng.random() < BY_ONE:
        groups = [_two_by_one(style.kinds, rng, taken)]
    else:
        lanes = [FRONT, BACK] if rng.random() < 0.5 else [BACK, FRONT]
        groups = [_one_action(style.kinds, rng, taken, lane) for lane in (lanes if two else [FRONT])]
    things = _bystanders(style, rng, taken, crowded=two)
    before = {}
    for number, (cast, _) in sorted(
        enumerate(groups), key=lambda group: group[1][0][0].depth
    ):  # the farther lane first
        before[number] = len(things)
        things += cast
    drafts = [(before[number], action) for number, (_, actions) in enumerate(groups) for action in actions]
    return Shot(
        things=tuple(things),
        actions=tuple(
            replace(
                action,
                actor=action.actor + first,
                patient=None if action.patient is None else action.patient + first,
                start=round(begin * ticks),
                end=round(end * ticks),
            )
            for (first, action), (begin, end) in zip(drafts, spans, strict=True)
        ),
        background=_one_of(style.backgrounds, rng),
        frames=frames,
        pan=float(rng.choice([-0.3, 0.3])) if rng.random() < style.pan else 0.0,
        light=float(rng.uniform(0.8, 1.08)),
        texture=int(rng.integers(2**31)),
    )


Cast = tuple[list[Thing], list[Action]]  # counted within the list, their times not known yet
NEARER = ("pass in front", "eat", "chase", "pick up", "pour", "jump over", "carry")  # the actor hides the patient


def _draft(verb: str, vector: tuple[float, float], rng: Rng, actor: int = 0, patient: int | None = None) -> Action:
    backward = bool(rng.random() < 0.5)
    return Action(verb=verb, vector=vector, backward=backward, actor=actor, patient=patient, start=0, end=0)


def _one_action(kinds: tuple[str, ...], rng: Rng, taken: set[tuple[str, str]], lane: tuple[float, float]) -> Cast:
    """Draw an action and its cast, from the farthest to the nearest."""
    verbs = possible_verbs(kinds)
    alone = rng.random() < ALONE
    fitting = [each for each in verbs if VERBS[each].patient != alone and (lane == FRONT or each not in HIGH)]
    verb = _one_of(fitting, rng)
    things, vector = _position(verb, _cast(verb, kinds, rng, taken), rng, lane)
    if len(things) == 1:
        return things, [_draft(verb, vector, rng)]
    if verb in NEARER:
        return things[::-1], [_draft(verb, vector, rng, actor=1, patient=0)]
    return things, [_draft(verb, vector, rng, actor=0, patient=1)]


def _two_by_one(kinds: tuple[str, ...], rng: Rng, taken: set[tuple[str, str]]) -> Cast:
    """Draw a thing that does one action after another, at most one of which moves it elsewhere."""
    verbs = possible_verbs(kinds)
    first = _one_of([each for each in BEFORE_OR_AFTER if each in verbs], rng)
    cast = _cast(first, kinds, rng, taken)
    after = (each for each in IN_PLACE if each in verbs and each != first)
    second = _one_of([each for each in after if cast[0].kind in _choices(each, "actor", kinds)], rng)
    if second == "recolour":
        cast = [_turning(cast[0], rng)]
    if second == "grow":
        cast = [replace(cast[0], size="small")]
    things, vector = _position(first, cast, rng, FRONT)
    _, other = _position(second, cast, rng, FRONT)
    drafts = [_draft(first, vector, rng), _draft(second, other, rng)]
    return things, drafts if rng.random() < 0.5 else drafts[::-1]


@lru_cache
def possible_verbs(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """List the verbs that these kinds can play."""
    return tuple(verb for verb in VERBS if all(_choices(verb, role, kinds) for role in _roles(verb)))


def _roles(verb: str) -> tuple[str, ...]:
    return ("actor", "patient") if VERBS[verb].patient else ("actor",)


@lru_cache
def _choices(verb: str, role: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
    table = ACTORS if role == "actor" else PATIENTS
    return tuple(name for name in table.get(verb, MOVABLE) if name in kinds)


def _one_of(options: Sequence[str], rng: Rng) -> str:
    return options[int(rng.integers(len(options)))]


def _kind(names: Sequence[str], rng: Rng) -> str:
    marks = np.cumsum([OFTEN if name in COMMON else 1.0 for name in names])
    return names[int(np.searchsorted(marks, rng.random() * marks[-1], side="right"))]


def draw_thing(kind: str, rng: Rng, taken: set[tuple[str, str]]) -> Thing:
    """Draw a thing of this kind with an appearance that no other thing of the shot has."""
    colours = [name for name in COLOURS if (kind, name) not in taken]
    colour = _one_of(colours, rng)
    taken.add((kind, colour))
    return Thing(
        kind=kind,
        colour=colour,
        material="plain" if rng.random() < PLAIN_MATERIAL else str(rng.choice(MATERIALS[1:])),
        size=str(rng.choice(list(SIZES), p=[0.2, 0.55, 0.25])),
        facing=1 if rng.random() < 0.5 else -1,
    )


def _cast(verb: str, kinds: tuple[str, ...], rng: Rng, taken: set[tuple[str, str]]) -> list[Thing]:
    cast = [draw_thing(_kind(_choices(verb, role, kinds), rng), rng, taken) for role in _roles(verb)]
    if verb == "recolour":
        cast = [_turning(cast[0], rng)]
    if verb in ("approach", "grow"):
        cast[0] = replace(cast[0], size="small")
    if verb in ("pick up", "pour"):
        cast = [replace(cast[0], size="medium"), replace(cast[1], size="medium" if verb == "pour" else "small")]
    if verb in ("eat", "carry", "push"):
        cast = [replace(cast[0], size="big" if cast[0].size == "big" else "medium"), replace(cast[1], size="small")]
    if verb in ("pass behind", "hide"):
        cast = [replace(cast[0], size="small"), replace(cast[1], size="big")]
    return cast


def _turning(thing: Thing, rng: Rng) -> Thing:
    """Return the thing with another colour to turn into."""
    others = [name for name in COLOURS if name != thing.colour]
    return replace(thing, becomes=_one_of(others, rng), material="plain")


def _position(
    verb: str, cast: list[Thing], rng: Rng, lane: tuple[float, float]
) -> tuple[list[Thing], tuple[float, float]]:
    """Position the cast before the action, and return the action's vector with it."""
    ground, depth = lane
    cast = [replace(each, depth=depth) for each in cast]
    return (_position_one if len(cast) == 1 else _position_two)(verb, cast, rng, ground)


def _stand(thing: Thing, x: float, ground: float, lift: float = 0.0) -> Thing:
    return replace(thing, x=round(x, 4), y=round(ground - thing.height / 2 - lift, 4))


def _position_one(verb: str, cast: list[Thing], rng: Rng, ground: float) -> tuple[list[Thing], tuple[float, float]]:
    (thing,) = cast
    side = float(rng.choice([-1, 1]))
    far = float(rng.uniform(0.42, 0.6))
    start = 0.5 - side * far / 2
    middle = float(rng.uniform(0.32, 0.68))
    if verb in ("slide", "halt", "return") and rng.random() < 0.3:  # straight up or down
        rise = min(far, ground - thing.height) * float(rng.uniform(0.75, 0.95))
        lift = rise if side > 0 else 0.0
        return [_stand(thing, middle, ground, lift)], (0.0, side * rise)
    if verb in ("slide", "roll", "halt", "return"):
        return [_stand(thing, start, ground)], (side * far, 0.0)
    if verb == "bounce":
        still = rng.random() < 0.4
        return [_stand(thing, middle if still else start, ground)], (0.0 if still else side * far, 0.0)
    if verb == "drop":
        high = min(0.6, ground - thing.height)
        return [_stand(thing, middle, ground, high)], (0.0, high)
    if verb in ("approach", "grow"):
        return [_stand(thing, middle, ground - 0.12)], (0.0, 0.1)
    far = {"leave": 1.1, "circle": 0.5 * min(0.44, ground - thing.height), "topple": 0.15}.get(verb, 1.0)
    return [_stand(thing, middle, ground)], (side * far, 0.0)


def _position_two(verb: str, cast: list[Thing], rng: Rng, ground: float) -> tuple[list[Thing], tuple[float, float]]:
    actor, patient = cast
    side = float(rng.choice([-1, 1]))
    middle = float(rng.uniform(0.42, 0.58))
    if verb in ("pick up", "pour", "orbit"):
        return _position_around(verb, actor, _stand(patient, middle, ground), side, ground)
    touch = (actor.height + patient.height) / 2
    if verb == "meet":
        apart = 0.48 - max(actor.height, patient.height) / 2
        start, other, way = 0.5 - side * apart, 0.5 + side * apart, side * (apart - touch / 2)
    else:
        start, other, way = _position_in_line(verb, touch, side, middle, rng)
    lift = actor.height * 0.8 if verb == "carry" else 0.0
    return [_stand(actor, start, ground), _stand(patient, other, ground, lift)], (way, 0.0)


def _position_in_line(verb: str, touch: float, side: float, middle: float, rng: Rng) -> tuple[float, float, float]:
    """Return where the actor and the patient stand on their ground, and how far the actor goes to the right.

    `touch` is the distance at which the two touch, `side` whether the actor goes to the right (1) or to the left (-1).
    """
    if verb in ("pass behind", "pass in front", "jump over", "swap"):
        far = max(0.62, touch + 0.1)
        start = 0.5 - side * far / 2
        return start, start + side * far if verb == "swap" else middle, side * far
    if verb == "hide":
        start, hiding_place = 0.5 - side * 0.34, middle + side * 0.15
        return start, hiding_place, hiding_place - start
    if verb == "hit":
        far = max(0.2, (0.84 - touch * 0.85) / 2)
        start = 0.5 - side * (far + touch * 0.425)
        return start, start + side * (far + touch * 0.85), side * far
    if verb == "eat":
        return 0.5 - side * 0.3, 0.5 + side * 0.28, side * (0.58 - touch * 0.4)
    gap = {"chase": touch + 0.06, "push": touch * 0.9}.get(verb, 0.0)
    far = max(0.3, 0.8 - gap) * float(rng.uniform(0.7, 0.9))
    start = 0.5 - side * (far + gap) / 2
    return start, start + side * gap, side * far


def _position_around(
    verb: str, actor: Thing, patient: Thing, side: float, ground: float
) -> tuple[list[Thing], tuple[float, float]]:
    """Position the actor above the patient, or on its way around it."""
    if verb == "pick up":
        high = replace(actor, x=patient.x, y=round(patient.y - 0.42 - actor.height * 0.35, 4))
        return [high, patient], (0.0, -0.42)
    if verb == "pour":
        x, y = patient.x - side * 0.2, patient.y - patient.height * 0.5 - actor.height * 0.42
        return [replace(actor, x=round(x, 4), y=round(y, 4), facing=int(side)), patient], (side, 0.0)
    radius = 0.27
    centre = replace(patient, y=0.5 if ground == FRONT[0] else 0.38)
    return [replace(actor, size="small", x=centre.x, y=round(centre.y + radius, 4)), centre], (side * radius, 0.0)


def _bystanders(style: Style, rng: Rng, taken: set[tuple[str, str]], *, crowded: bool) -> list[Thing]:
    """Draw things that do nothing, at the back, each at its own position."""
    count = int(rng.choice(len(style.bystanders), p=style.bystanders))
    names = [name for name in style.kinds if name in FREE]
    spots = rng.permutation([0.13, 0.5, 0.87])
    found = []
    for x in spots[: min(count, 1) if crowded else count]:
        thing = replace(draw_thing(_kind(names, rng), rng, taken), depth=0.72)
        found.append(_stand(thing, float(x), 0.3 + thing.height / 2 + 0.03))
    return found
