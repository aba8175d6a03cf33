"""Choose what a caption mentions, as `grammar` does for English; the module of a language makes sentences of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from pseudocap.toyworld import grammar, lexicon
from pseudocap.toyworld.actions import Event
from pseudocap.toyworld.grammar import Choice, Manner
from pseudocap.toyworld.kinds import ANIMALS, KINDS
from pseudocap.toyworld.lexicon import Weighted
from pseudocap.toyworld.reading import directions, meanings
from pseudocap.toyworld.scenes import Film, Shot, Thing

PERSONS = ("man", "woman")


@dataclass(frozen=True, kw_only=True, slots=True)
class Noun:
    """Hold a noun: `gender` is m, f or n; `oblique` is its form in other cases, where that differs."""

    text: str
    gender: str
    plural: str
    oblique: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Hold the vocabulary of a language. `nouns` has those of each kind by their text, the commonest first."""

    nouns: Mapping[str, Mapping[str, Noun]]
    groups: Mapping[str, Noun]
    goes: Mapping[str, Weighted]
    events: Mapping[str, Weighted]
    ways: Mapping[str, Weighted]
    turns: Mapping[str, Weighted]
    sides: Mapping[str, str]
    locations: Mapping[str, Weighted]
    up_and_down: str
    eats: tuple[str, str]  # of an animal, of a person


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """Name a thing by a noun and the details that the speaker cares for, in the names of `scenes`."""

    noun: Noun
    count: int = 1
    definite: bool = False
    size: str = ""
    colour: str = ""
    material: str = ""
    animate: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """Hold who does what: in `phrase` the verbs are not inflected, and what needs agreement or case is not filled.

    `thing` is the thing at the head, None where it is two of them; `other` and `by` are the patient and the actor.
    """

    subjects: tuple[Mention, ...]
    thing: Thing | None
    phrase: str
    other: Mention | None
    by: Mention
    before: str  # the colours of a thing that turns into another
    after: str
    speed: str = ""  # "", "quick" or "slow"

    @property
    def many(self) -> bool:
        return len(self.subjects) > 1 or self.subjects[0].count > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Hold all that one caption mentions: one clause or two, a location, a bystander, the camera's way."""

    clauses: tuple[Statement, ...]
    location: str = ""
    beside: Mention | None = None
    camera: str = ""

    @property
    def same(self) -> bool:
        """Return whether two clauses are about one thing, which then is named once."""
        things = [clause.thing for clause in self.clauses]
        return len(things) == 2 and things[0] is not None and things[0] == things[1]


def read_nouns(table: Mapping[str, str], read: Callable[[str], Noun]) -> dict[str, dict[str, Noun]]:
    """Read a table of nouns, a bar between two of one entry: the nouns of each entry by their text."""
    return {name: {noun.text: noun for noun in map(read, text.split("|"))} for name, text in table.items()}


def choose(film: Film, words: Vocabulary, choice: Choice, manner: Manner) -> Content:
    """Choose what a caption of the film mentions."""
    described = grammar.described(film, choice, manner)
    shot = described[0][0]
    clauses = tuple(_clause(of, event, words, choice, manner) for of, event in described[:2])
    idle = grammar.bystanders(shot, described)
    beside = mention(idle[-1], words, choice, manner) if idle and choice.chance(manner.bystander) else None
    location = choice.of(words.locations[shot.background]) if choice.chance(manner.location) else ""
    pans = shot.pan and choice.chance(manner.camera)
    return Content(
        clauses=clauses,
        location=location,
        beside=beside,
        camera=words.sides["right" if shot.pan > 0 else "left"] if pans else "",
    )


def mention(
    thing: Thing, words: Vocabulary, choice: Choice, manner: Manner, *, count: int = 1, colour: str | None = None
) -> Mention:
    """Name a thing, or `count` of them, or it in another colour than at rest."""
    own = words.nouns[thing.kind]
    weighted = tuple((4.0 / (rank + 1) ** 2, text) for rank, text in enumerate(own))
    vague = choice.chance(manner.vague)
    return Mention(
        noun=words.groups[KINDS[thing.kind].group] if vague else own[choice.of(weighted)],
        count=count,
        definite=count == 1 and choice.chance(0.1),
        size=thing.size if thing.size != "medium" and choice.chance(manner.size) else "",
        colour=(colour or thing.colour) if choice.chance(manner.colour) else "",
        material=thing.material if thing.material != "plain" and choice.chance(manner.material) else "",
        animate=thing.kind in ANIMALS or thing.kind in PERSONS,
    )


def _clause(shot: Shot, event: Event, words: Vocabulary, choice: Choice, manner: Manner) -> Statement:
    actor = shot.things[event.actor]
    patient = None if event.patient is None else shot.things[event.patient]
    phrase = choice.of(words.events[event.name])
    passive = phrase.startswith("of other:")
    filled = {
        "goes": choice.of(words.goes[KINDS[actor.kind].goes]),
        "way": _way(event, words, choice),
        "side": words.sides.get(grammar.side(event), ""),
        "turn": choice.of(words.turns[event.direction]) if event.direction in words.turns else "",
        "eats": words.eats[actor.kind in PERSONS],
    }
    phrase = re.sub(r"\{(\w+)\}", lambda found: filled.get(found[1], found[0]), phrase.removeprefix("of other:"))
    seen = actor.becomes if event.name == "turn colour" and event.backward else None
    sized = replace(actor, size="medium") if event.name in ("grow", "shrink", "come closer", "go away") else actor
    by = mention(sized, words, choice, manner, colour=seen)
    other = mention(patient, words, choice, manner) if patient else None
    subjects: tuple[Mention, ...] = (other if passive and other else by,)
    if event.name in lexicon.PLURAL:
        subjects = _parties(actor, patient, words, choice, manner)
    return Statement(
        subjects=subjects,
        thing=None if event.name in lexicon.PLURAL else patient if passive else actor,
        phrase=" ".join(phrase.split()),
        other=other,
        by=by,
        before=(actor.becomes if event.backward else actor.colour) or "",
        after=(actor.colour if event.backward else actor.becomes) or "",
        speed=grammar.speed(event) if choice.chance(manner.speed) else "",
    )


def _parties(
    actor: Thing, patient: Thing | None, words: Vocabulary, choice: Choice, manner: Manner
) -> tuple[Mention, ...]:
    """Return who does what two do together."""
    if patient is None:  # the halves of one
        return (mention(replace(actor, size="medium"), words, choice, manner, count=2),)
    if actor.kind == patient.kind and choice.chance(0.4):
        return (Mention(noun=next(iter(words.nouns[actor.kind].values())), count=2),)
    return tuple(mention(thing, words, choice, manner) for thing in (actor, patient))


def _way(event: Event, words: Vocabulary, choice: Choice) -> str:
    if event.direction in words.ways:
        return choice.of(words.ways[event.direction])
    return words.up_and_down if event.name == "bounce" else ""


def phrases_of(words: Vocabulary) -> Iterator[tuple[str, str]]:
    """Yield each event's name with each of its phrases, with each verb of motion or of eating that it may have."""
    for name, options in words.events.items():
        for _, phrase in options:
            yield from ((name, filled) for filled in _with_verbs(phrase.removeprefix("of other: "), words))


def _with_verbs(phrase: str, words: Vocabulary) -> list[str]:
    verbs = {verb for options in words.goes.values() for _, verb in options} if "{goes}" in phrase else {""}
    eats = set(words.eats) if "{eats}" in phrase else {""}
    return sorted(phrase.replace("{goes}", verb).replace("{eats}", eat) for verb in verbs for eat in eats)


def kinds_of(words: Vocabulary) -> dict[str, frozenset[str]]:
    """Map each form of each noun, in lower case, to the kinds that it may mean."""
    return meanings(
        (form.lower(), name)
        for name, kind in KINDS.items()
        for noun in (*words.nouns[name].values(), words.groups[kind.group])
        for form in filter(None, (noun.text, noun.plural, noun.oblique))
    )


def ways_of(words: Vocabulary) -> dict[str, frozenset[str]]:
    """Map each phrase of direction, in lower case, to what it may mean; moving up and down is no direction."""
    sides = ((side, direction) for direction, side in words.sides.items())
    return {words.up_and_down: frozenset()} | meanings((*directions(words.ways, words.turns), *sides))
