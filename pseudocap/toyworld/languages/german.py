"""Write captions in German: three genders, three cases, the verb second in a main clause and last in a relative one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pseudocap.toyworld.grammar import CROWD, Choice, Manner
from pseudocap.toyworld.languages.german_words import (
    COLOURS,
    DATIVES,
    INVARIABLE,
    MATERIALS,
    OTHER_COLOURS,
    WORDS,
    inflect,
)
from pseudocap.toyworld.languages.scene import Content, Mention, Noun, Statement, choose, kinds_of, phrases_of, ways_of
from pseudocap.toyworld.lexicon import Weighted
from pseudocap.toyworld.reading import THING, Reading, any_of
from pseudocap.toyworld.scenes import Film

NOMINATIVE, ACCUSATIVE, DATIVE = range(3)
ARTICLES = {  # in the three cases: a, the; then the endings of adjectives after each
    "m": ("ein einen einem", "der den dem", "er en en", "e en en"),
    "f": ("eine eine einer", "die die der", "e e en", "e e en"),
    "n": ("ein ein einem", "das das dem", "es es en", "e e en"),
}
RELATIVE = {"m": "der", "f": "die", "n": "das"}
OPENINGS: Weighted = ((3, "ein Video von"), (2, "man sieht"), (1, "zu sehen ist"), (1, "das ist"))
CASES = {"ein Video von": DATIVE, "man sieht": ACCUSATIVE}
SIZES = {"big": "groß", "small": "klein"}
SPEEDS = {"quick": "schnell", "slow": "langsam"}
THEN: Weighted = ((5, "dann"), (2, "danach"))
ADVERBS = ("dann", "danach", "anschließend", "gerade", "zuerst", "erst", "wieder", *SPEEDS.values())
CONTRACTED = {"im": "in dem", "ins": "in das", "am": "an dem", "ans": "an das", "vom": "von dem", "zum": "zu dem"}


@dataclass(frozen=True, kw_only=True, slots=True)
class VerbGroup:
    """Hold one verb with its middle field. `tail` ends a main clause; it is `joined` where it is a prefix: anhält."""

    finite: str
    tail: str
    joined: bool
    reflexive: bool
    middle: str

    def second(self, *middle: str, subject: str = "") -> str:
        """Return the verb of a main clause and all after it, the subject too where something else leads."""
        return _words(self.finite, "sich" * self.reflexive, subject, *middle, self.middle, self.tail)

    def last(self, *middle: str) -> str:
        """Return the same with the verb at the end."""
        end = f"{self.tail}{self.finite}" if self.joined else _words(self.tail, self.finite)
        return _words("sich" * self.reflexive, *middle, self.middle, end)


def caption(film: Film, choice: Choice, manner: Manner = CROWD) -> str:
    """Write one sentence about a film."""
    scene = choose(film, WORDS, choice, manner)
    form = choice.of(((6, "main"), (2, "relative"), (1, "inverted")))
    if form == "relative" and (len(scene.clauses) == 1 or scene.same):
        sentence = _relative(scene, choice)
    elif form == "inverted" and (scene.location or len(scene.clauses) > 1):
        sentence = _inverted(scene, choice)
    else:
        sentence = _main(scene, choice)
    if scene.camera:
        sentence += f", während die Kamera nach {scene.camera} schwenkt"
    return sentence


def _main(scene: Content, choice: Choice) -> str:
    first, *more = scene.clauses
    sentence = _words(_subject(first), _second(first, *_adverbs(scene)))
    for clause in more:
        then = choice.of(THEN)
        after = "" if scene.same else _subject(clause)
        sentence = _words(sentence, "und", after, _second(clause, then, SPEEDS.get(clause.speed, "")))
    return sentence


def _relative(scene: Content, choice: Choice) -> str:
    first, *more = scene.clauses
    opening = choice.of(OPENINGS)
    if first.many:
        opening = {"zu sehen ist": "zu sehen sind", "das ist": "das sind"}.get(opening, opening)
    subject = _subject(first, CASES.get(opening, NOMINATIVE))
    pronoun = "die" if first.many else RELATIVE[first.subjects[0].noun.gender]
    sentence = f"{_words(opening, subject)}, {_words(pronoun, _last(first, *_adverbs(scene)))}"
    for clause in more:
        sentence = _words(sentence, "und", _last(clause, choice.of(THEN), SPEEDS.get(clause.speed, "")))
    return sentence


def _inverted(scene: Content, choice: Choice) -> str:
    """Begin with a location or with "zuerst"; the subject follows the verb."""
    first, *more = scene.clauses
    leading = scene.location or "zuerst"
    rest = [each for each in _adverbs(scene) if each != scene.location]
    sentence = _words(leading, _second(first, *rest, subject=_subject(first)))
    for clause in more:
        then = choice.of(THEN)
        if scene.same:
            sentence = _words(sentence, "und", _second(clause, then))
        else:
            sentence = _words(sentence, "und", then, _second(clause, subject=_subject(clause)))
    return sentence


def _adverbs(scene: Content) -> list[str]:
    """Return what stands between the verb and its objects in the first clause: how, beside what, where."""
    beside = f"neben {noun_phrase(scene.beside, DATIVE)}" if scene.beside else ""
    return [SPEEDS.get(scene.clauses[0].speed, ""), beside, scene.location]


def _subject(clause: Statement, case: int = NOMINATIVE) -> str:
    return " und ".join(noun_phrase(each, case) for each in clause.subjects)


def _second(clause: Statement, *middle: str, subject: str = "") -> str:
    first, *more = verbs(_filled(clause), clause.many)
    return " und ".join([first.second(*middle, subject=subject), *(verb.second() for verb in more)])


def _last(clause: Statement, *middle: str) -> str:
    first, *more = verbs(_filled(clause), clause.many)
    return " und ".join([first.last(*middle), *(verb.last() for verb in more)])


def _words(*parts: str) -> str:
    return " ".join(filter(None, parts))


def noun_phrase(named: Mention, case: int) -> str:
    """Write a noun with its article and its adjectives, declined."""
    noun, many = named.noun, named.count > 1
    article, ending = ARTICLES[noun.gender][named.definite], ARTICLES[noun.gender][2 + named.definite]
    tones = [COLOURS[named.colour].split("/")[0]] if named.colour else []
    if named.material:
        tones.insert(0, MATERIALS[named.material])
    adjectives = [SIZES[named.size], *tones] if named.size else tones
    suffix = ("en" if case == DATIVE else "e") if many else ending.split()[case]
    declined = [word if word in INVARIABLE else word + suffix for word in adjectives]
    if many:
        return _words("zwei", *declined, dative_plural(noun) if case == DATIVE else noun.plural)
    form = noun.oblique or DATIVES.get(noun.text, "") * (case == DATIVE) if case != NOMINATIVE else ""
    return _words(article.split()[case], *declined, form or noun.text)


def dative_plural(noun: Noun) -> str:
    return noun.plural if noun.plural[-1] in "ns" else f"{noun.plural}n"


def _filled(clause: Statement) -> str:
    """Return a clause's phrase with all but its verbs."""
    after, before = (COLOURS[each].split("/")[-1] if each else "" for each in (clause.after, clause.before))
    filled = {"to": after, "After": after.capitalize(), "Before": before.capitalize()}
    for field, named, case in (
        ("akk", clause.other, ACCUSATIVE),
        ("dat", clause.other, DATIVE),
        ("by", clause.by, DATIVE),
    ):
        if named and f"{{{field}}}" in clause.phrase:
            filled[field] = noun_phrase(named, case)
    return re.sub(r"\{(\w+)\}", lambda found: filled[found[1]], clause.phrase)


def verbs(phrase: str, many: bool) -> list[VerbGroup]:
    """Read a phrase of the events: its verbs, each with its middle field."""
    found = []
    for part in re.split(r"(?:^| und )(?=\[)", phrase)[1:]:
        token, middle = part[1:].split("]")
        reflexive = "sich " in token
        *before, verb = token.replace("sich ", "").split()
        prefix, _, base = verb.rpartition("+")
        found.append(
            VerbGroup(
                finite=inflect(base, many),
                tail=_words(*before, prefix),
                joined=bool(prefix),
                reflexive=reflexive,
                middle=middle.strip(),
            )
        )
    return found


@cache
def reading() -> Reading:
    """Return how `truth` reads German."""
    words = [(word, colour) for colour, both in COLOURS.items() for word in both.split("/")]
    colours = {form: colour for word, colour in (*words, *OTHER_COLOURS.items()) for form in _forms(word)}
    others = {form for word in (*MATERIALS.values(), *SIZES.values(), "rund") for form in _forms(word)}
    kinds = kinds_of(WORDS)
    for each in (*(noun for nouns in WORDS.nouns.values() for noun in nouns.values()), *WORDS.groups.values()):
        kinds.setdefault(dative_plural(each).lower(), kinds[each.text.lower()])
    articles = {word for row in ARTICLES.values() for each in row[:2] for word in each.split()}
    ways = {_expanded(way): meant for way, meant in ways_of(WORDS).items()}
    fields = dict.fromkeys(("way", "turn", "side"), f"(?P<way>{any_of(ways)})")
    fields |= dict.fromkeys(("akk", "dat", "by"), THING) | dict.fromkeys(("to", "after", "before"), any_of(colours))
    locations = [_expanded(phrase.lower()) for options in WORDS.locations.values() for _, phrase in options]
    camera = r"während (?:sich )?die kamera (?:sich )?nach (?:links|rechts) (?:\w+)"
    return Reading(
        surroundings=re.compile(rf"\b{any_of((*locations, camera))}\b"),
        mention=re.compile(
            rf"\b{any_of((*articles, 'zwei'))} (?:{any_of((*colours, *others))} )*(?P<noun>{any_of(kinds)})\b"
        ),
        kinds=kinds,
        colours=colours,
        ways=ways,
        events=tuple(
            (name, pattern)
            for name, phrase in phrases_of(WORDS)
            for pattern in _patterns(_expanded(phrase.lower()), fields)
        ),
        normalise=_expanded,
    )


def _forms(word: str) -> set[str]:
    return {word + ending for ending in ("", "e", "er", "es", "en", "em")}


def _expanded(text: str) -> str:
    """Undo the contractions of prepositions with the article."""
    return re.sub(r"\b(?:im|ins|am|ans|vom|zum)\b", lambda found: CONTRACTED[found[0]], text)


def _patterns(phrase: str, fields: Mapping[str, str]) -> Iterator[re.Pattern[str]]:
    """Match a phrase of the events as a main clause, its subject before or after the verb, and with the verb last."""
    both = list(zip(verbs(phrase, False), verbs(phrase, True), strict=True))
    adverb = rf"(?:{any_of(ADVERBS)}|(?:neben|in der nähe von) {THING})"
    after_verb = f"(?: {adverb})*(?: {THING}(?: und {THING})?)?(?: {adverb})*"
    for order in ("second", "last"):
        parts = []
        for number, (verb, plural) in enumerate(both):
            finite = any_of((verb.finite, plural.finite))
            if order == "second":
                rest = "".join(f" {words}" for words in (verb.middle, verb.tail) if words)
                parts.append(_words(finite, "sich" * verb.reflexive) + after_verb * (not number) + rest)
            else:
                end = f"{verb.tail}{finite}" if verb.joined else _words(verb.tail, finite)
                first = "sich " * verb.reflexive + f"(?:{adverb} )*" * (not number)
                parts.append(first + _words(verb.middle, end))
        filled = re.sub(r"\{(\w+)\}", lambda found: fields[found[1]], " und ".join(parts))
        yield re.compile(rf"(?<!\S){filled}(?!\S)")
