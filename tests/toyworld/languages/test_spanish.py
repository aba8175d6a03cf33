"""Check the grammar of Spanish captions: gender, number, "se", contractions."""

from __future__ import annotations

import pytest

from pseudocap.toyworld.corpora import captions_at
from pseudocap.toyworld.grammar import PLAIN
from pseudocap.toyworld.languages.scene import Mention
from pseudocap.toyworld.languages.spanish import _contracted, _verb, noun_phrase, reading
from pseudocap.toyworld.languages.spanish_words import WORDS, plural

MASCULINE_IN_A, FEMININE_IN_O = {"fantasma", "paraguas", "reloj de pared"}, {"mano"}
FEMININE_BY_HEART = {"nave espacial", "nube", "flor", "mujer", "llave"}  # what no ending tells


def named(kind: str, rank: int = 0, **details: object) -> str:
    return noun_phrase(Mention(noun=list(WORDS.nouns[kind].values())[rank], **details), PLAIN)


def test_articles_and_adjectives_agree_with_the_noun() -> None:
    assert named("ball", colour="red", size="small") == "una pelota roja pequeña"
    assert named("truck", colour="white", material="wooden") == "un camión blanco de madera"
    assert named("hand", colour="blue", definite=True) == "la mano azul"
    assert named("fish", colour="brown", material="shiny", count=2) == "dos peces marrones brillantes"
    assert named("flower", colour="black", size="big", count=2) == "dos flores negras grandes"
    assert named("car", colour="pink", count=2) == "dos coches rosa"


def test_genders_are_those_that_the_endings_tell_but_for_the_known_exceptions() -> None:
    for each in (noun for nouns in WORDS.nouns.values() for noun in nouns.values()):
        first = each.text.split()[0]
        feminine = first.endswith("a") or each.text in FEMININE_BY_HEART | FEMININE_IN_O
        assert each.gender == ("f" if feminine and each.text not in MASCULINE_IN_A else "m"), each.text


def test_no_caption_mixes_genders() -> None:
    article = {"un": "o", "el": "o", "una": "a", "la": "a"}
    checked = 0
    for index in range(60):
        for text in captions_at("msrvtt", "test", index, seed=1, count=4, language="es"):
            for found in reading().mention.finditer(text.lower()):
                first, *words = found[0].split()
                for word in set(words) & {
                    f"{stem}{end}" for stem in ("roj", "blanc", "negr", "amarill") for end in "oa"
                }:
                    assert word[-1] == article[first], text
                    checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("singular", "many"),
    [("avión", "aviones"), ("autobús", "autobuses"), ("pez", "peces"), ("reloj", "relojes"), ("baúl", "baúles"),
     ("gris", "grises"), ("paraguas", "paraguas"), ("muñeco de nieve", "muñecos de nieve"), ("araña", "arañas")],
)  # fmt: skip
def test_plurals(singular: str, many: str) -> None:
    assert plural(singular) == many


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("moverse", ("se mueve", "se está moviendo", "moviéndose", "se movió")),
        ("alejarse", ("se aleja", "se está alejando", "alejándose", "se alejó")),
        ("caer", ("cae", "está cayendo", "cayendo", "cayó")),
        ("perseguir", ("persigue", "está persiguiendo", "persiguiendo", "persiguió")),
        ("ir", ("va", "está yendo", "yendo", "fue")),
        ("escupir", ("escupe", "está escupiendo", "escupiendo", "escupió")),
        ("vaciar", ("vacía", "está vaciando", "vaciando", "vació")),
    ],
)
def test_verbs(verb: str, forms: tuple[str, ...]) -> None:
    assert tuple(_verb(verb, form, False) for form in ("simple", "progressive", "gerund", "past")) == forms
    assert _verb("acercarse", "progressive", True) == "se están acercando"


def test_prepositions_contract_with_the_article_and_y_gives_way_to_an_i() -> None:
    assert _contracted("sale de el perro y se acerca a el gato") == "sale del perro y se acerca al gato"
    assert _contracted("girando y iluminándose y yendo") == "girando e iluminándose y yendo"


def test_animals_and_people_are_chased_with_an_a() -> None:
    from pseudocap.toyworld.languages.spanish import caption
    from pseudocap.toyworld.scenes import Action, Film, Shot, Thing

    things = (Thing(kind="dog", colour="red", x=0.3), Thing(kind="cat", colour="blue", x=0.6))
    action = Action(verb="chase", actor=0, patient=1, start=0, end=400, vector=(0.3, 0.0))
    shot = Shot(things=things, actions=(action,), background="road", frames=40)
    assert caption(Film(shots=(shot,)), PLAIN) == "un perro rojo persigue a un gato azul hacia la derecha"
