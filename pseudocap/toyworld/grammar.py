"""Turn scenes into sentences: captions of a film, of a still, of its things alone.

The same rules, with another `Choice`, give the varied captions of a crowd and the one plain caption of the full truth:
a crowd draws every word and every detail by chance, the plain one takes the commonest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pseudocap.toyworld import lexicon
from pseudocap.toyworld.actions import Event, film_events
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.lexicon import Weighted, article, inflect, plural
from pseudocap.toyworld.scenes import TICKS, Film, Shot, Thing

FACING = frozenset({
    "car", "truck", "bus", "train", "tractor", "plane", "helicopter", "fish", "bird", "duck", "dog", "rabbit",
    "elephant", "snail", "turtle",
})  # fmt: skip
QUICK = 3.0  # seconds
OPENINGS: dict[str, Weighted] = {
    "participle": ((6, ""), (1, "a video of "), (0.7, "this is "), (0.5, "an animation of "), (0.4, "we see ")),
    "there": ((1, "there is "),),
}
SIZE_WORDS: dict[str, Weighted] = {"big": ((3, "big"), (2, "large")), "small": ((4, "small"), (1, "little"))}


class Choice:
    """Choose words as a speaker does: by chance if there is a generator, else the commonest word and no detail."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self._rng = rng

    def of(self, options: Weighted) -> str:
        """Return one of the options, by weight."""
        if self._rng is None:
            return max(options, key=lambda option: option[0])[1]
        left = self._rng.random() * sum(weight for weight, _ in options)
        for weight, option in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][1]

    def chance(self, probability: float) -> bool:
        """Decide whether a detail is mentioned at all."""
        return probability > 0.5 if self._rng is None else bool(self._rng.random() < probability)


PLAIN = Choice()


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """Hold how much a speaker mentions: the chances of each detail."""

    colour: float = 0.52
    material: float = 0.3
    size: float = 0.3
    part: float = 0.05
    vague: float = 0.2
    both: float = 0.7
    location: float = 0.25
    bystander: float = 0.08
    camera: float = 0.2
    speed: float = 0.06


CROWD = Manner()


def references(film: Film, count: int, rng: np.random.Generator) -> list[str]:
    """Return the captions of so many people, each written independently."""
    return [caption(film, Choice(rng)) for _ in range(count)]


def full_truth(film: Film) -> str:
    """Return all that happens in a film, in its order, in the commonest words."""
    return caption(film, PLAIN)


def caption(film: Film, choice: Choice, manner: Manner = CROWD) -> str:
    """Write one sentence about a film."""
    events = described(film, choice, manner)
    form = choice.of(((4.5, "simple"), (3, "progressive"), (1.6, "participle"), (0.5, "there"), (0.25, "past")))
    clauses = [_clause(shot, event, choice, manner) for shot, event in events[:2]]
    same = len(clauses) == 2 and clauses[0].subject is not None and clauses[0].subject == clauses[1].subject
    sentence = _carried_on(clauses, form, choice) if same else _joined(clauses, form, choice)
    sentence = _with_surroundings(sentence, events[0][0], events, choice, manner)
    return choice.of(OPENINGS[form]) + sentence if form in OPENINGS else sentence


def described(film: Film, choice: Choice, manner: Manner) -> list[tuple[Shot, Event]]:
    """Choose which events of a film a caption is about: all, or one of the first two."""
    happens = film_events(film)
    if len(happens) > 1 and not choice.chance(manner.both):
        return [happens[0] if choice.chance(0.55) else happens[1]]
    return happens


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """Hold who does what. `subject` is the thing at the head, None where it is two of them."""

    subject: Thing | None
    noun: str
    phrase: str
    many: bool


def _joined(clauses: Sequence[Clause], form: str, choice: Choice) -> str:
    texts = [f"{clause.noun} {_inflected(clause.phrase, form, clause.many)}" for clause in clauses]
    if len(texts) == 1:
        return texts[0]
    links = ((5.0, "{0} and then {1}"), (2.0, "{0} and {1}"), (1.0, "{0} then {1}"), (0.5, "{1} after {0}"))
    return choice.of(links if form == "there" else (*links, (0.8, "first {0} then {1}"))).format(*texts)


def _carried_on(clauses: Sequence[Clause], form: str, choice: Choice) -> str:
    """Join two actions of the same thing; the second has no subject and no auxiliary of its own."""
    first, second = clauses
    link = choice.of(((5.0, "and then"), (2.5, "and"), (1.0, "then"), (1.0, "and afterwards")))
    after = _inflected(second.phrase, "participle" if form == "progressive" else form, second.many)
    return f"{first.noun} {_inflected(first.phrase, form, first.many)} {link} {after}"


def _with_surroundings(
    sentence: str, shot: Shot, events: Sequence[tuple[Shot, Event]], choice: Choice, manner: Manner
) -> str:
    idle = bystanders(shot, events)
    if idle and choice.chance(manner.bystander):
        sentence += choice.of(((3, " next to {}"), (2, " near {}"), (2, " with {} in the background"))).format(
            noun_phrase(idle[-1], choice, manner)
        )
    if choice.chance(manner.location):
        location = choice.of(lexicon.LOCATIONS[shot.background])
        sentence = f"{location} {sentence}" if choice.chance(0.12) else f"{sentence} {location}"
    if shot.pan and choice.chance(manner.camera):
        way = "right" if shot.pan > 0 else "left"
        sentence += choice.of(((3, f" as the camera pans {way}"), (2, f" while the camera moves to the {way}")))
    return sentence


def bystanders(shot: Shot, events: Sequence[tuple[Shot, Event]]) -> list[Thing]:
    """List the things of a shot that take no part in these events."""
    acting = {index for of, event in events if of is shot for index in (event.actor, event.patient)}
    return [thing for index, thing in enumerate(shot.things) if index not in acting]


def noun_phrase(
    thing: Thing, choice: Choice, manner: Manner = CROWD, *, count: int = 1, colour: str | None = None
) -> str:
    """Name a thing with as much detail as the speaker cares for; `count` of them; in another colour than at rest."""
    kind = KINDS[thing.kind]
    nouns = tuple((4.0 / (rank + 1) ** 2, noun) for rank, noun in enumerate(kind.nouns))
    noun = kind.group if choice.chance(manner.vague) else choice.of(nouns)
    words = []
    if thing.size != "medium" and choice.chance(manner.size):
        words.append(choice.of(SIZE_WORDS[thing.size]))
    tones, tone = [], colour or thing.colour
    if choice.chance(manner.colour):
        tones.append(choice.of(((4, "grey"), (3, "gray"))) if tone == "grey" else tone)
    if thing.material != "plain" and choice.chance(manner.material):
        tones.insert(0 if choice.chance(0.6) else len(tones), thing.material)
    words += [*tones, plural(noun) if count > 1 else noun]
    text = " ".join(words)
    text = f"{'two' if count == 2 else 'the' if choice.chance(0.1) else article(text)} {text}"
    if kind.detail and choice.chance(manner.part):
        text += f" with {kind.detail}"
    return text


def _clause(shot: Shot, event: Event, choice: Choice, manner: Manner) -> Clause:
    """Write subject and verb phrase of one event, its verbs not inflected yet."""
    actor = shot.things[event.actor]
    patient = None if event.patient is None else shot.things[event.patient]
    phrase = choice.of(lexicon.EVENTS[event.name])
    many = event.name in lexicon.PLURAL
    about = None if many else patient if phrase.startswith("of other:") else actor
    subject, phrase = _subject(phrase, event, actor, patient, choice, manner)
    words = {
        "goes": choice.of(lexicon.GOES[KINDS[actor.kind].goes]),
        "way": _way(event, actor, choice),
        "side": side(event),
        "turn": choice.of(lexicon.TURNS[event.direction]) if event.direction in lexicon.TURNS else "",
        "other": noun_phrase(patient, choice, manner) if patient and "{other}" in phrase else "",
        "by": noun_phrase(actor, choice, manner) if "{by}" in phrase else "",
        "to": (actor.colour if event.backward else actor.becomes) or "",
        "from": (actor.becomes if event.backward else actor.colour) or "",
        "is": "{is}",
    }
    filled = re.sub(r"\{(\w+)\}", lambda found: words[found[1]], phrase)
    if choice.chance(manner.speed):
        filled += f" {speed(event)}ly"
    return Clause(subject=about, noun=subject, phrase=" ".join(filled.split()), many=many)


def _subject(
    phrase: str, event: Event, actor: Thing, patient: Thing | None, choice: Choice, manner: Manner
) -> tuple[str, str]:
    """Return the subject of a phrase, and the phrase without the mark of whose it is."""
    if phrase.startswith("of other:"):
        assert patient is not None, f"{event.name} has a patient"
        return noun_phrase(patient, choice, manner), phrase.removeprefix("of other:")
    if event.name == "join":
        return noun_phrase(replace(actor, size="medium"), choice, manner, count=2), phrase
    if event.name in lexicon.PLURAL:
        assert patient is not None, f"{event.name} has two parties"
        if actor.kind == patient.kind and choice.chance(0.4):
            return f"two {plural(KINDS[actor.kind].nouns[0])}", phrase
        return f"{noun_phrase(actor, choice, manner)} and {noun_phrase(patient, choice, manner)}", phrase
    seen = actor.becomes if event.name == "turn colour" and event.backward else None
    sized = replace(actor, size="medium") if event.name in ("grow", "shrink", "come closer", "go away") else actor
    return noun_phrase(sized, choice, manner, colour=seen), phrase


def _way(event: Event, actor: Thing, choice: Choice) -> str:
    if event.direction not in lexicon.WAYS:
        return "" if event.name != "bounce" else "up and down"
    way = choice.of(lexicon.WAYS[event.direction])
    behind = "left" if actor.facing > 0 else "right"
    reversing = event.name == "go" and actor.kind in FACING and event.direction == behind
    return f"backwards {way}" if reversing and choice.chance(0.12) else way


def speed(event: Event) -> str:
    """Return whether an event is quick or slow."""
    return "quick" if (event.end - event.start) / TICKS / 8 < QUICK else "slow"


def side(event: Event) -> str:
    """Return the side where a thing leaves or comes from: it enters on the side that it moves away from."""
    if event.name == "enter":
        return "left" if event.direction == "right" else "right"
    return event.direction


def _inflected(phrase: str, form: str, many: bool) -> str:
    """Inflect the phrase's verbs in the form of the sentence, with the auxiliary before the first."""
    verb_form = {"simple": "base" if many else "s", "past": "past"}.get(form, "ing")
    be = "are" if many else "is"
    if "{is}" in phrase:
        passive = {"simple": be, "past": "were" if many else "was", "progressive": f"{be} being"}
        return phrase.replace("{is}", passive.get(form, "being"))
    auxiliary = f"{be} " if form == "progressive" else ""
    return auxiliary + re.sub(r"\[(\w+)\]", lambda found: inflect(found[1], verb_form), phrase)


def objects_only(film: Film) -> str:
    """Caption a film by its acting things alone, without what happens."""
    named: list[Thing] = []
    for shot, event in film_events(film)[:2]:
        for index in (event.actor, event.patient):
            if index is not None and shot.things[index] not in named:
                named.append(shot.things[index])
    return " and ".join(noun_phrase(thing, PLAIN) for thing in named[:3])
