"""Check the grammar of German captions: gender, case, the position of the verb."""

from __future__ import annotations

import re

import pytest

from pseudocap.toyworld.corpora import captions_at
from pseudocap.toyworld.languages.german import ACCUSATIVE, DATIVE, NOMINATIVE, noun_phrase, verbs
from pseudocap.toyworld.languages.german_words import WORDS, inflect
from pseudocap.toyworld.languages.scene import Mention

ARTICLES = {"m": ("ein", "einen", "einem"), "f": ("eine", "eine", "einer"), "n": ("ein", "ein", "einem")}
TELLING = {  # endings that tell the gender
    "chen": "n", "zeug": "n", "stück": "n", "ling": "m", "er": "m", "e": "f", "schirm": "m", "ball": "m", "wagen": "m",
}  # fmt: skip
EXCEPTIONS = {
    "Trommel": "f",
    "Hase": "m",
    "Welpe": "m",
    "Gebäude": "n",
    "Gemüse": "n",
    "Drachen": "m",
    "Kuchen": "m",
    "Tier": "n",
}


def named(noun: str, case: int, **details: object) -> str:
    nouns = {text: each for table in WORDS.nouns.values() for text, each in table.items()}
    return noun_phrase(Mention(noun=nouns[noun], **details), case)


def test_articles_and_adjectives_are_declined() -> None:
    red = {"colour": "red", "size": "big"}
    assert [named("Ball", case, **red) for case in range(3)] == [
        "ein großer roter Ball", "einen großen roten Ball", "einem großen roten Ball",
    ]  # fmt: skip
    assert [named("Katze", case, **red) for case in range(3)] == [
        "eine große rote Katze", "eine große rote Katze", "einer großen roten Katze",
    ]  # fmt: skip
    assert [named("Auto", case, **red) for case in range(3)] == [
        "ein großes rotes Auto", "ein großes rotes Auto", "einem großen roten Auto",
    ]  # fmt: skip
    assert [named("Ball", case, definite=True, colour="blue") for case in range(3)] == [
        "der blaue Ball", "den blauen Ball", "dem blauen Ball",
    ]  # fmt: skip
    assert named("Katze", DATIVE, definite=True, colour="orange") == "der orangefarbenen Katze"
    assert named("Auto", NOMINATIVE, definite=True, colour="pink", material="wooden") == "das hölzerne rosa Auto"


def test_weak_nouns_and_plurals_have_their_own_forms() -> None:
    assert [named("Elefant", case) for case in range(3)] == ["ein Elefant", "einen Elefanten", "einem Elefanten"]
    assert [named("Hase", case) for case in range(3)] == ["ein Hase", "einen Hasen", "einem Hasen"]
    assert [named("Herz", case) for case in range(3)] == ["ein Herz", "ein Herz", "einem Herzen"]
    assert named("Ball", NOMINATIVE, count=2, colour="green") == "zwei grüne Bälle"
    assert named("Ball", DATIVE, count=2, colour="green") == "zwei grünen Bällen"
    assert named("Auto", DATIVE, count=2) == "zwei Autos"


def test_genders_are_those_that_the_endings_tell() -> None:
    checked = 0
    for each in (*(noun for nouns in WORDS.nouns.values() for noun in nouns.values()), *WORDS.groups.values()):
        expected = EXCEPTIONS.get(each.text) or next(
            (gender for ending, gender in TELLING.items() if each.text.lower().endswith(ending)), None
        )
        if expected:
            assert each.gender == expected, each.text
            checked += 1
    assert checked > 55


@pytest.mark.parametrize(
    ("phrase", "main", "inverted", "last"),
    [
        ("[hoch+heben] einen Ball", "hebt einen Ball hoch", "hebt ein Hund einen Ball hoch", "einen Ball hochhebt"),
        (
            "[sich drehen] im Uhrzeigersinn", "dreht sich im Uhrzeigersinn", "dreht sich ein Hund im Uhrzeigersinn",
            "sich im Uhrzeigersinn dreht",
        ),
        (
            "[geschoben werden] von einem Auto", "wird von einem Auto geschoben",
            "wird ein Hund von einem Auto geschoben", "von einem Auto geschoben wird",
        ),
        ("[vorbei+sich bewegen] an ihm", "bewegt sich an ihm vorbei", "bewegt sich ein Hund an ihm vorbei",
            "sich an ihm vorbeibewegt"),
    ],
)  # fmt: skip
def test_the_verb_is_second_in_a_main_clause_and_last_in_a_relative_one(
    phrase: str, main: str, inverted: str, last: str
) -> None:
    (verb,) = verbs(phrase, False)
    assert verb.second() == main
    assert verb.second(subject="ein Hund") == inverted
    assert verb.last() == last


def test_finite_verbs() -> None:
    assert [inflect(verb, False) for verb in ("fahren", "gleiten", "hoppeln", "kullern", "leeren", "erlöschen")] == [
        "fährt", "gleitet", "hoppelt", "kullert", "leert", "erlischt",
    ]  # fmt: skip
    assert inflect("fahren", True) == "fahren"


def test_a_direction_takes_the_accusative_and_a_location_the_dative() -> None:
    texts = [
        text for index in range(250) for text in captions_at("msrvtt", "train", index, seed=0, count=4, language="de")
    ]
    accusative, dative = "(?:ein|eine|einen|der|die|das|den)", "(?:einem|einer|dem|der)"
    for words, case in (
        ("versteckt sich hinter", dative), ("kommt hinter", dative), ("neben", dative), ("hinter {} .*vorbei", dative),
        ("stößt gegen", accusative), ("springt über", accusative), ("gießt Wasser in", accusative),
        ("das Wasser aus", dative), ("wird von", dative), ("ein Video von", dative), ("man sieht", accusative),
    ):  # fmt: skip
        before, _, after = words.partition(" {}")
        found = [
            text
            for text in texts
            if re.search(rf"\b{before} (?:ein|eine|einen|einem|einer|der|die|das|den|dem)\b{after}", text)
        ]
        assert found, words
        for text in found:
            match = re.search(rf"\b{before} (\w+)\b{after}", text)
            assert match, text
            assert re.fullmatch(case, match[1]), text


def test_a_relative_pronoun_agrees_with_its_noun() -> None:
    genders = {text: noun.gender for nouns in WORDS.nouns.values() for text, noun in nouns.items()}
    genders |= {noun.text: noun.gender for noun in WORDS.groups.values()}
    genders |= {noun.oblique: noun.gender for nouns in WORDS.nouns.values() for noun in nouns.values() if noun.oblique}
    pronouns = {"m": "der", "f": "die", "n": "das"}
    checked = 0
    for index in range(120):
        for text in captions_at("msrvtt", "train", index, seed=0, count=4, language="de"):
            found = re.fullmatch(
                r"(?:ein Video von|man sieht|zu sehen ist|das ist) [^,]*?(\w+), (der|die|das) .*", text
            )
            if found and " und " not in text.split(",")[0] and found[1] in genders:
                assert pronouns[genders[found[1]]] == found[2], text
                checked += 1
    assert checked > 30


def test_articles_agree_with_nouns_in_every_case() -> None:
    for nouns in WORDS.nouns.values():
        for text, noun in nouns.items():
            for case in (NOMINATIVE, ACCUSATIVE, DATIVE):
                assert named(text, case).split()[0] == ARTICLES[noun.gender][case]
