"""Write captions in Spanish: the noun first, what agrees with it after; "se" before a finite verb, after a gerund."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from pseudocap.toyworld.grammar import CROWD, Choice, Manner
from pseudocap.toyworld.languages.scene import Content, Mention, Statement, choose, kinds_of, phrases_of, ways_of
from pseudocap.toyworld.languages.spanish_words import (
    COLOURS,
    FORMS,
    MATERIALS,
    OTHER_COLOURS,
    WORDS,
    adjective,
    inflect,
)
from pseudocap.toyworld.lexicon import Weighted
from pseudocap.toyworld.reading import THING, Reading, any_of
from pseudocap.toyworld.scenes import Film

OPENINGS: Weighted = ((6, ""), (2, "un vídeo de "), (2, "se ve "), (1, "hay "))
SIZES = {"big": "grande", "small": "pequeño"}
ARTICLES = {"m": ("un", "el"), "f": ("una", "la")}
SPEEDS = {"quick": "rápidamente", "slow": "lentamente"}


def caption(film: Film, choice: Choice, manner: Manner = CROWD) -> str:
    """Write one sentence about a film."""
    scene = choose(film, WORDS, choice, manner)
    form = choice.of(((4.5, "simple"), (3, "progressive"), (2, "gerund"), (0.4, "past")))
    sentence = _with_surroundings(_joined(scene, form, choice), scene, choice)
    if form == "gerund":
        opening = choice.of(OPENINGS)
        sentence = ("se ven " if opening == "se ve " and scene.clauses[0].many else opening) + sentence
    return _contracted(sentence)


def _joined(scene: Content, form: str, choice: Choice) -> str:
    first, *more = scene.clauses
    subject = _and(noun_phrase(each, choice) for each in first.subjects)
    sentence = f"{subject} {_predicate(first, form, choice)}"
    if not more:
        return sentence
    link = choice.of(((5, "y luego"), (2, "y"), (1, "y después")))
    if scene.same:  # no subject and no auxiliary of its own
        return f"{sentence} {link} {_predicate(more[0], 'gerund' if form == 'progressive' else form, choice)}"
    other = _and(noun_phrase(each, choice) for each in more[0].subjects)
    return f"{sentence} {link} {other} {_predicate(more[0], form, choice)}"


def _with_surroundings(sentence: str, scene: Content, choice: Choice) -> str:
    if scene.beside:
        sentence += f" {choice.of(((3, 'junto a'), (2, 'cerca de')))} {noun_phrase(scene.beside, choice)}"
    if scene.location:
        sentence = f"{sentence} {scene.location}"
    if scene.camera:
        sentence += f" mientras la cámara se mueve hacia la {scene.camera}"
    return sentence


def _and(phrases: Iterable[str]) -> str:
    return " y ".join(phrases)


def _contracted(sentence: str) -> str:
    """Contract a + el and de + el; write e for y before an i."""
    sentence = re.sub(r"\ba el\b", "al", re.sub(r"\bde el\b", "del", sentence))
    return re.sub(r"\by (?=h?i(?![aeo]))", "e ", sentence)


def noun_phrase(named: Mention, choice: Choice) -> str:
    """Write a noun with its article and with the adjectives that agree with it."""
    many, gender = named.count > 1, named.noun.gender
    words = ["dos" if many else ARTICLES[gender][named.definite]]
    size = named.size and adjective(SIZES[named.size], gender, many)
    if named.size == "small" and choice.chance(0.3):
        words.append(size)
        size = ""
    words.append(named.noun.plural if many else named.noun.text)
    if named.colour:
        words.append(adjective(COLOURS[named.colour], gender, many))
    if named.material:
        words.append(adjective(MATERIALS[named.material], gender, many))
    return " ".join([*words, size] if size else words)


def _predicate(clause: Statement, form: str, choice: Choice) -> str:
    """Inflect a clause's verbs in the form of the sentence and fill in what agrees with its subject."""
    genders = {each.noun.gender for each in clause.subjects}
    gender = "f" if genders == {"f"} else "m"
    other = noun_phrase(clause.other, choice) if clause.other and re.search(r"\{(a|other)\}", clause.phrase) else ""
    filled = {
        "o": ("a" if gender == "f" else "o") + "s" * clause.many,
        "to": adjective(COLOURS.get(clause.after, ""), gender, clause.many),
        "Before": COLOURS.get(clause.before, ""),
        "After": COLOURS.get(clause.after, ""),
        "other": other,
        "a": f"a {other}" if clause.other and clause.other.animate else other,
        "by": noun_phrase(clause.by, choice) if "{by}" in clause.phrase else "",
    }
    phrase = re.sub(r"\{(\w+)\}", lambda found: filled[found[1]], clause.phrase)
    first, *rest = re.split(r"(?=\[)", phrase)[1:]
    later = "gerund" if form == "progressive" else form
    verbs = [_verbs(first, form, clause.many), *(_verbs(each, later, clause.many) for each in rest)]
    return " ".join(f"{''.join(verbs)} {SPEEDS.get(clause.speed, '')}".split())


def _verbs(part: str, form: str, many: bool) -> str:
    return re.sub(r"\[(\w+)\]", lambda found: _verb(found[1], form, many), part)


def _verb(verb: str, form: str, many: bool) -> str:
    base = verb.removesuffix("se")
    itself = "se " if base != verb else ""
    if form == "gerund":
        return _with_se(inflect(base, "doing")) if itself else inflect(base, "doing")
    if form == "progressive":
        return f"{itself}{'están' if many else 'está'} {inflect(base, 'doing')}"
    tense = {"simple": ("it does", "they do"), "past": ("it did", "they did")}[form]
    return itself + inflect(base, tense[many])


def _with_se(gerund: str) -> str:
    """Return a gerund with "se": its stress gets an accent, moviéndose."""
    return gerund.replace("ando", "ándose").replace("endo", "éndose")


@cache
def reading() -> Reading:
    """Return how `truth` reads Spanish."""
    colours = {
        form: colour
        for word, colour in (*((word, colour) for colour, word in COLOURS.items()), *OTHER_COLOURS.items())
        for form in _forms(word)
    }
    adjectives = [*colours, *MATERIALS.values(), *_forms("brillante"), *_forms("grande"), *_forms("pequeño"), "gran"]
    kinds, described = kinds_of(WORDS), any_of(adjectives)
    ways = {_expanded(way): meant for way, meant in ways_of(WORDS).items()}
    fields = {"a": f"(?:a )?{THING}", "o": "(?:o|a|os|as)"} | dict.fromkeys(("other", "by"), THING)
    fields |= dict.fromkeys(("way", "turn", "side"), f"(?P<way>{any_of(ways)})")
    fields |= dict.fromkeys(("to", "Before", "After"), any_of(colours))
    locations = [_expanded(phrase) for options in WORDS.locations.values() for _, phrase in options]
    camera = r"mientras la cámara se (?:mueve|desplaza) (?:hacia|a) la (?:izquierda|derecha)"
    return Reading(
        surroundings=re.compile(rf"\b{any_of((*locations, camera))}\b"),
        mention=re.compile(
            rf"\b(?:un|una|unos|unas|el|la|los|las|dos) (?:{described} )*(?P<noun>{any_of(kinds)})\b(?: {described}\b)*"
        ),
        kinds=kinds,
        colours=colours,
        ways=ways,
        events=tuple((name, _pattern(phrase, fields)) for name, phrase in phrases_of(WORDS)),
        normalise=_expanded,
    )


def _forms(word: str) -> set[str]:
    return {adjective(word, gender, many) for gender in "mf" for many in (False, True)}


def _expanded(text: str) -> str:
    """Undo the contractions al and del, but for those of the clock's hands, which is no clock."""
    text = re.sub(r"(?<!agujas )(?<!manecillas )\bdel\b", "de el", re.sub(r"\bal\b", "a el", text))
    return re.sub(r"\be (?=h?i)", "y ", text)


def _pattern(phrase: str, fields: Mapping[str, str]) -> re.Pattern[str]:
    """Match a phrase of the events, its verbs in any form and each field by its pattern."""
    filled = re.sub(r"\{(\w+)\}", lambda found: fields[found[1]], _expanded(phrase))
    inflected = re.sub(r"\[(\w+)\]", lambda found: _any_form(found[1]), filled)
    return re.compile(rf"(?<!\S){inflected}(?!\S)")


def _any_form(verb: str) -> str:
    """Match a verb in every form, with its "se" wherever it may stand."""
    base = verb.removesuffix("se")
    forms = [inflect(base, form) for form in FORMS]
    if base == verb:
        return any_of((*forms, base))
    gerund = inflect(base, "doing")
    return any_of(
        (*(f"se {form}" for form in forms), f"se está {gerund}", f"se están {gerund}", _with_se(gerund), verb)
    )
