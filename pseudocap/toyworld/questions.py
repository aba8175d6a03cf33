"""Ask about a film: who acts, what it does, to what, which color, which way, how many, what comes first, what sounds.

An answer is exact: a question names things and actions that the film has once, so one answer is true. Its words are the
same for every film, and no answer follows from them more than from how often it is right: "who" asks about all things,
and things and actions are named by one word each. A film gets a question of each kind for which it has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pseudocap.toyworld.actions import Event, film_events
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.lexicon import HEARD, PLURAL, TURNS, inflect, plural
from pseudocap.toyworld.scenes import Film, Shot, Thing
from pseudocap.toyworld.sounds import Soundtrack

Rng = np.random.Generator
DOES = {  # of each event that one thing does; what is done to another ends where that one is named
    "go": "move", "roll": "roll", "leave": "leave", "enter": "come in", "stop": "stop", "start": "start",
    "return": "come back", "come closer": "come closer", "go away": "go away", "grow": "grow", "shrink": "shrink",
    "spin": "spin", "fall over": "fall over", "stand up": "stand up", "bounce": "bounce", "jump": "jump",
    "drop": "fall down", "shoot up": "fly up", "split": "split", "vanish": "disappear", "appear": "appear",
    "turn colour": "change color", "open": "open", "close": "close", "light up": "light up", "go dark": "go dark",
    "shake": "shake", "circle": "circle", "orbit": "go around", "pass behind": "pass behind",
    "pass in front": "pass in front of", "hide": "hide behind", "come out": "come out from behind", "chase": "chase",
    "push": "push", "pull": "pull", "carry": "carry", "hit": "hit", "pick up": "pick up", "put down": "put down",
    "pour": "fill", "suck out": "empty", "jump over": "jump over", "eat": "eat", "spit out": "spit out",
}  # fmt: skip
MOTIONS = ("go", "roll", "leave", "enter", "stop", "start", "return")  # which others do as well, in other words
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COUNTED = ("animal", "vehicle", "toy", "plant", "person", "vessel")  # groups of things
FORWARD = 0.5  # how often a question is about what comes before, and not after
OF_THERE = 0.6  # how often things are counted that are there


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmQuestion:
    """Hold a question, its answer, and which of ASKERS it is of."""

    text: str
    answer: str
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Hold what questions need of a film: its events with their shots, its things, and what sounds; `absent` are names
    of sounds that another film of the same corpus has and this one has not."""

    film: Film
    track: Soundtrack
    absent: tuple[str, ...]

    @property
    def happening(self) -> list[tuple[Shot, Event]]:
        return film_events(self.film)

    @property
    def single(self) -> list[Thing]:
        """Return the things whose kind no other of the film has."""
        things = [thing for shot in self.film.shots for thing in shot.things]
        counts = Counter(thing.kind for thing in things)
        return [thing for thing in things if counts[thing.kind] == 1]

    def alone(self, thing: Thing) -> list[Event]:
        """Return what a thing does by itself; none where it does something together with another."""
        own = [(shot, event) for shot, event in self.happening if thing in _acting(shot, event)]
        return [] if any(event.name in PLURAL for _, event in own) else [event for _, event in own]


def ask(film: Film, track: Soundtrack, other: Soundtrack, rng: Rng) -> list[FilmQuestion]:
    """Ask a question of each kind that this film answers; `other` is the track of another film."""
    facts = Facts(film=film, track=track, absent=tuple(sorted(other.heard - track.heard)))
    found = []
    for kind, asker in ASKERS.items():
        if options := list(asker(facts, rng)):
            text, answer = options[int(rng.integers(len(options)))]
            found.append(FilmQuestion(text=text, answer=answer, kind=kind))
    return found


Options = Iterator[tuple[str, str]]


def _acting(shot: Shot, event: Event) -> tuple[Thing, ...]:
    both = event.name in PLURAL and event.patient is not None
    indices = (event.actor, event.patient) if both else (event.actor,)
    return tuple(shot.things[index] for index in indices if index is not None)


def _noun(thing: Thing) -> str:
    return KINDS[thing.kind].nouns[0]


def _done(event: Event, form: str) -> str:
    """Return what an event does, its verb inflected."""
    verb, _, rest = DOES[event.name].partition(" ")
    return f"{inflect(verb, form)} {rest}".strip()


def _who(facts: Facts, rng: Rng) -> Options:
    counts = Counter(event.name for _, event in facts.happening)
    for shot, event in facts.happening:
        actor = shot.things[event.actor]
        if event.name in (*MOTIONS, *PLURAL) or counts[event.name] > 1 or actor not in facts.single:
            continue
        if event.patient is None:
            yield f"who {_done(event, 's')}?", _noun(actor)
        elif shot.things[event.patient] in facts.single:
            yield f"who {_done(event, 's')} the {_noun(shot.things[event.patient])}?", _noun(actor)


def _action(facts: Facts, rng: Rng) -> Options:
    for thing in facts.single:
        own = facts.alone(thing)
        if len(own) == 1:
            yield f"what does the {_noun(thing)} do?", _done(own[0], "base")


def _object(facts: Facts, rng: Rng) -> Options:
    for shot, event in facts.happening:
        if event.patient is None or event.name in PLURAL:
            continue
        actor, patient = shot.things[event.actor], shot.things[event.patient]
        if actor in facts.single and patient in facts.single and len(facts.alone(actor)) == 1:
            yield f"what does the {_noun(actor)} {_done(event, 'base')}?", _noun(patient)


def _colour(facts: Facts, rng: Rng) -> Options:
    for thing in facts.single:
        if thing.becomes is None:
            yield f"what color is the {_noun(thing)}?", thing.colour


def _way(facts: Facts, rng: Rng) -> Options:
    for thing in facts.single:
        directed = [event for event in facts.alone(thing) if event.direction]
        if len(directed) == 1 and directed[0].name != "return":
            verb = "turn" if directed[0].direction in TURNS else "go"
            yield f"which way does the {_noun(thing)} {verb}?", directed[0].direction


def _number(facts: Facts, rng: Rng) -> Options:
    if len(facts.film.shots) > 1 or any(event.name in ("split", "join") for _, event in facts.happening):
        return
    things = facts.film.shots[0].things
    yield "how many things are there?", NUMBERS[len(things)]
    there = [group for group in COUNTED if any(KINDS[thing.kind].group == group for thing in things)]
    absent = [group for group in COUNTED if group not in there]
    groups = there if there and rng.random() < OF_THERE else absent
    group = groups[int(rng.integers(len(groups)))]
    yield f"how many {plural(group)} are there?", NUMBERS[sum(KINDS[thing.kind].group == group for thing in things)]


def _order(facts: Facts, rng: Rng) -> Options:
    if len(facts.happening) != 2:
        return
    (one, first), (two, second) = facts.happening
    actors = one.things[first.actor], two.things[second.actor]
    apart = one is not two or first.end <= second.start
    if not apart or {first.name, second.name} & PLURAL or any(actor not in facts.single for actor in actors):
        return
    before = rng.random() < FORWARD
    if actors[0] == actors[1]:
        known, wanted = (second, first) if before else (first, second)
        word = "before" if before else "after"
        yield f"what does the {_noun(actors[0])} do {word} it {_done(known, 's')}?", _done(wanted, "base")
    else:
        yield f"who acts {'first' if before else 'last'}?", _noun(actors[0] if before else actors[1])


def _heard(facts: Facts, rng: Rng) -> Options:
    noises = facts.track.noises
    if len(facts.track.heard) < 2:
        yield "what can be heard?", noises[0].name if noises else "nothing"
    named = sorted(facts.track.heard) if facts.absent and noises and rng.random() < 0.5 else facts.absent
    if named and noises:
        sound = named[int(rng.integers(len(named)))]
        yield f"can you hear {_sounding(sound)}?", "yes" if sound in facts.track.heard else "no"
    if len(noises) == 2 and noises[0].end <= noises[1].start and noises[0].name != noises[1].name:
        before = rng.random() < FORWARD
        known, wanted = noises[::-1] if before else noises
        yield f"what is heard {'before' if before else 'after'} {_sounding(known.name)}?", wanted.name


def _sounding(name: str) -> str:
    return max(HEARD[name])[1]


ASKERS: dict[str, Callable[[Facts, Rng], Options]] = {
    "who": _who,
    "action": _action,
    "object": _object,
    "color": _colour,
    "way": _way,
    "number": _number,
    "order": _order,
    "heard": _heard,
}
