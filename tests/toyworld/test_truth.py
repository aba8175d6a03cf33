"""Compare captions with the scene: the crowd is always right about its own film, and hardly ever about another."""

from __future__ import annotations

from dataclasses import replace

from pseudocap.toyworld.actions import events
from pseudocap.toyworld.corpora import captions_at, film_at, word_generator
from pseudocap.toyworld.scenes import FPS, Action, Film, Shot, Thing, mirrored
from pseudocap.toyworld.speech import still_caption
from pseudocap.toyworld.truth import judge, judge_sounds, shots_between

FILMS = range(40)


def push(*, backward: bool = False) -> Shot:
    things = (Thing(kind="car", colour="red", x=0.3), Thing(kind="ball", colour="blue", x=0.6))
    action = Action(verb="push", actor=0, patient=1, start=0, end=400, vector=(0.3, 0.0), backward=backward)
    return Shot(things=things, actions=(action,), background="road", frames=40)


def test_all_that_the_crowd_says_of_a_film_is_true_of_it() -> None:
    for index in FILMS:
        shots = film_at("msrvtt", "test", index, seed=0).shots
        for text in captions_at("msrvtt", "test", index, seed=0):
            assert judge(text, shots).correct, (text, judge(text, shots))


def test_what_is_said_of_one_film_is_hardly_ever_true_of_another() -> None:
    captions = [(index, text) for index in FILMS for text in captions_at("msrvtt", "test", index, seed=0)[:4]]
    others = {index: film_at("msrvtt", "test", index + 1, seed=0).shots for index in FILMS}
    assert sum(judge(text, others[index]).correct for index, text in captions) < 0.02 * len(captions)


def test_a_film_run_backwards_makes_captions_wrong_that_tell_the_way() -> None:
    shots, reverse = (push(),), mirrored(Film(shots=(push(),))).shots
    for text in ("a red car pushes a blue ball to the right", "a ball is pushed to the right by the car"):
        assert judge(text, shots).correct
        assert not judge(text, reverse).correct


def test_the_verdict_names_the_words_that_are_wrong() -> None:
    shots = (push(),)
    assert judge("a green car pushes a ball to the right", shots).wrong_colours == ("a green car",)
    assert judge("a red car pushes a dog to the right", shots).wrong_things == ("a dog",)
    assert judge("a red car eats a blue ball", shots).wrong_events == ("eats a blue ball",)
    assert judge("a red car pushes a blue ball to the left", shots).wrong_ways == ("pushes a blue ball to the left",)
    assert not judge("thanks for watching and do not forget to subscribe", shots).correct


def test_a_thing_that_changes_its_colour_has_both() -> None:
    shot = Shot(
        things=(Thing(kind="car", colour="red", becomes="green", x=0.5),), actions=(), background="road", frames=40
    )
    assert judge("a red car", (shot,)).correct
    assert judge("a green car", (shot,)).correct
    assert judge("a blue car", (shot,)).wrong_colours == ("a blue car",)


def test_what_comes_in_is_described_by_the_side_that_it_comes_from() -> None:
    car = Thing(kind="car", colour="red", x=0.5)
    leaves = Action(verb="leave", actor=0, start=0, end=400, vector=(0.6, 0.0))
    goes, comes = (
        Shot(things=(car,), actions=(replace(leaves, backward=backward),), background="road", frames=40)
        for backward in (False, True)
    )
    assert [event.name for shot in (goes, comes) for event in events(shot)] == ["leave", "enter"]
    for shot, text in ((goes, "leaves the screen on the {}"), (comes, "enters the screen from the {}")):
        assert judge(f"a red car {text.format('right')}", (shot,)).correct
        assert judge(f"a red car {text.format('left')}", (shot,)).wrong_ways


def test_places_and_parts_are_no_claims_about_things() -> None:
    shots = (push(),)
    assert judge("a red car pushes a ball on a wooden table", shots).things == ("a red car", "a ball")


def test_a_clip_is_judged_by_the_shots_that_it_shows() -> None:
    film = Film(shots=(push(), push(backward=True)))
    assert len(shots_between(film, 0, 5, FPS)) == 1
    assert len(shots_between(film, 4, 8, FPS)) == 2


def test_of_a_still_people_are_right_about_things_and_wrong_about_every_second_way() -> None:
    verdicts = []
    for index in range(100):
        film = film_at("stills", "train", index, seed=0)
        rng = word_generator("stills", "train", index, seed=0)
        verdicts.append(judge(still_caption(film, int(rng.integers(film.frames)), rng), film.shots))
    assert sum(each.things_right for each in verdicts) >= 0.97 * len(verdicts)
    assert 0.05 < sum(bool(each.wrong_events or each.wrong_ways) for each in verdicts) / len(verdicts) < 0.4


def test_the_verdict_names_the_sounds_that_are_not_heard() -> None:
    text = "a red car pushes a blue ball with the sound of scraping and a wailing siren"
    verdict = judge(text, (push(),), {"scraping", "bell"})
    assert verdict.sounds == ("scraping", "a wailing siren")
    assert verdict.wrong_sounds == ("a wailing siren",)
    assert not verdict.correct
    assert not verdict.sounds_right
    assert judge(text, (push(),), {"scraping", "siren"}).correct
    assert judge(text, (push(),)).correct, "nobody knows what is heard"


def test_what_is_heard_is_no_claim_about_what_is_seen() -> None:
    verdict = judge("a red car pushes a ball while a barking dog can be heard", (push(),), {"barking"})
    assert verdict.correct
    assert verdict.things == ("a red car", "a ball")


def test_a_sound_that_the_world_does_not_have_is_wrong() -> None:
    for text in ("a car with the sound of a red trumpet", "a car and a red trumpet can be heard"):
        assert judge(text, (push(),), {"scraping"}).wrong_sounds == ("a red trumpet",)
    assert judge_sounds("a red trumpet", {"scraping"}).wrong_sounds == ("a red trumpet",)
