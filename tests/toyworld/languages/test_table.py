"""Hold captions in Spanish and German against the scenes that they are about, as tests/toyworld/test_truth.py does."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.acting import film_of

from pseudocap.errors import ConfigError
from pseudocap.toyworld.actions import VERBS
from pseudocap.toyworld.casting import BACKGROUNDS
from pseudocap.toyworld.corpora import captions_at, film_at
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.languages import german_words, spanish_words
from pseudocap.toyworld.languages.scene import Vocabulary
from pseudocap.toyworld.languages.table import LANGUAGES, language_of
from pseudocap.toyworld.scenes import COLOURS, MATERIALS, mirrored
from pseudocap.toyworld.truth import judge

OTHERS = ("es", "de")
FILMS = range(20)


@pytest.mark.parametrize("code", OTHERS)
def test_every_way_to_say_an_event_is_read_as_that_event(code: str) -> None:
    rng = np.random.default_rng(0)
    for verb in VERBS:
        for backward in (False, True):
            film = film_of(verb, backward=backward)
            captions = language_of(code).references(film, 8, rng)
            assert len(set(captions)) > 3, verb
            for text in captions:
                verdict = judge(text, film.shots, language=code)
                assert verdict.correct, (text, verdict)
                assert verdict.events, text
                assert not set(text) & set("{}[]@+*/"), text
                assert "  " not in text
                assert text == text.strip()


@pytest.mark.parametrize("code", OTHERS)
def test_captions_are_true_of_their_film_and_hardly_ever_of_another(code: str) -> None:
    others, reverse, total = 0, 0, 0
    for index in FILMS:
        film, other = (film_at("msrvtt", "test", each, seed=0) for each in (index, index + 1))
        for text in captions_at("msrvtt", "test", index, seed=0, count=4, language=code):
            assert judge(text, film.shots, language=code).correct, (text, judge(text, film.shots, language=code))
            others += judge(text, other.shots, language=code).correct
            reverse += judge(text, mirrored(film).shots, language=code).correct
            total += 1
    assert others < 0.03 * total
    assert reverse < 0.4 * total, "English: 0.23"


@pytest.mark.parametrize(
    ("code", "right", "colour", "thing", "event", "way"),
    [
        (
            "es",
            "una pelota roja empuja una caja verde hacia la derecha",
            "una pelota morada empuja una caja verde hacia la derecha",
            "una pelota roja empuja un árbol verde hacia la derecha",
            "una pelota roja se come una caja verde",
            "una pelota roja empuja una caja verde hacia la izquierda",
        ),
        (
            "de",
            "ein roter Ball schiebt eine grüne Kiste nach rechts",
            "ein lila Ball schiebt eine grüne Kiste nach rechts",
            "ein roter Ball schiebt einen grünen Baum nach rechts",
            "man sieht einen roten Ball, der eine grüne Kiste frisst",
            "ein roter Ball schiebt eine grüne Kiste nach links",
        ),
    ],
)
def test_a_changed_colour_thing_event_or_way_is_judged_false(
    code: str, right: str, colour: str, thing: str, event: str, way: str
) -> None:
    shots = film_of("push").shots
    assert language_of(code).full_truth(film_of("push")) == right
    assert judge(right, shots, language=code).correct
    assert len(judge(colour, shots, language=code).wrong_colours) == 1
    assert len(judge(thing, shots, language=code).wrong_things) == 1
    assert len(judge(event, shots, language=code).wrong_events) == 1
    assert len(judge(way, shots, language=code).wrong_ways) == 1


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_draws_its_own_words_again_and_again_the_same(code: str) -> None:
    first = captions_at("msrvtt", "test", 3, seed=0, language=code)
    assert len(set(first)) > 8
    assert first == captions_at("msrvtt", "test", 3, seed=0, language=code)
    assert first != captions_at("msrvtt", "test", 3, seed=1, language=code)


@pytest.mark.parametrize("words", [spanish_words, german_words])
def test_there_are_words_for_everything_that_a_scene_can_hold(words: object) -> None:
    own: Vocabulary = words.WORDS  # type: ignore[attr-defined]
    assert set(own.nouns) == set(KINDS)
    assert set(own.groups) >= {kind.group for kind in KINDS.values()}
    assert set(own.goes) >= {kind.goes for kind in KINDS.values()}
    assert set(own.events) == {name for verb in VERBS.values() for name in verb.names}
    assert set(own.locations) == set(BACKGROUNDS)
    assert set(words.COLOURS) == set(COLOURS)  # type: ignore[attr-defined]
    assert set(words.MATERIALS) == set(MATERIALS) - {"plain"}  # type: ignore[attr-defined]


def test_streams_of_words_differ_and_an_unknown_language_is_refused() -> None:
    streams = [language.stream for language in LANGUAGES.values()]
    assert len({*streams, 0, 2, 3}) == len(streams) + 3, "0, 2 and 3 are films, sounds and captions of sounds"
    with pytest.raises(ConfigError, match="the toy world has no language 'fr'; it has en, es, de"):
        language_of("fr")
