"""Check an action and its reverse: the same pictures, in the other order, under another name."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from helpers.acting import film_of

from pseudocap.toyworld.actions import SAME_BOTH_WAYS, VERBS, Poses, event, film_events, poses
from pseudocap.toyworld.casting import ALL, Style, draw_film, possible_verbs
from pseudocap.toyworld.corpora import CORPORA, NARROW, film_at
from pseudocap.toyworld.grammar import full_truth
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.scenes import Film, mirrored

LIVELY = Style(frames=(24, 24), pan=1.0, cut=0.3, second_action=0.5)


def pictures(film: Film, size: int = 32) -> np.ndarray:
    return np.stack(list(render_film(film, size)))


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_and_its_reverse_are_the_same_pictures_in_the_other_order(verb: str) -> None:
    forward, backward = (pictures(film_of(verb, backward=way)) for way in (False, True))
    np.testing.assert_array_equal(backward, forward[::-1])
    if verb not in SAME_BOTH_WAYS:
        assert (forward != backward).any(), "the two look the same"


@pytest.mark.parametrize("index", range(12))
def test_a_mirrored_film_has_the_same_multiset_of_frames_and_another_order(index: int) -> None:
    film = draw_film(LIVELY, np.random.default_rng(index))
    forward, backward = pictures(film), pictures(mirrored(film))
    np.testing.assert_array_equal(backward, forward[::-1])
    assert sorted(map(bytes, forward)) == sorted(map(bytes, backward))
    assert (forward != backward).any()


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_and_its_reverse_are_told_apart_in_words_unless_they_look_alike(verb: str) -> None:
    sentences = {full_truth(film_of(verb, backward=way)) for way in (False, True)}
    assert len(sentences) == (1 if verb in SAME_BOTH_WAYS else 2), sentences


def test_mirroring_twice_gives_the_film_back() -> None:
    for index in range(20):
        film = draw_film(LIVELY, np.random.default_rng(index))
        assert mirrored(mirrored(film)) == film


def test_who_chases_is_chased_in_the_reverse_and_who_pushes_pulls() -> None:
    chase, reverse = (film_events(film_of("chase", backward=way))[0][1] for way in (False, True))
    assert (chase.actor, chase.patient, chase.direction) == (0, 1, "right")
    assert (reverse.actor, reverse.patient, reverse.direction) == (1, 0, "left")
    push, pull = (film_events(film_of("push", backward=way))[0][1] for way in (False, True))
    assert (push.name, push.direction, pull.name, pull.direction) == ("push", "right", "pull", "left")
    assert push.actor == pull.actor


@pytest.mark.parametrize("verb", VERBS)
def test_before_and_after_its_action_nothing_moves(verb: str) -> None:
    (shot,) = film_of(verb).shots
    action = shot.actions[0]
    for still in (range(action.start + 1), range(action.end, shot.ticks)):
        found = poses(shot, np.array(list(still)))
        for field in fields(Poses):
            values = getattr(found, field.name)
            assert (values == values[:, :1]).all(), field.name


def test_neither_the_side_that_a_thing_faces_nor_its_looks_betray_which_way_an_action_is_played() -> None:
    facing: dict[bool, list[int]] = {False: [], True: []}
    for index in range(600):
        for shot in film_at("clips", "train", index, seed=3).shots:
            action = shot.actions[0]
            going = event(action).direction
            if action.verb in ("slide", "chase", "push", "halt") and going in ("left", "right"):
                facing[going == "right"].append(shot.things[action.actor].facing)
    counts = {going: len(found) for going, found in facing.items()}
    assert min(counts.values()) > 15, counts
    for found in facing.values():
        assert abs(np.mean(found)) < 3 / np.sqrt(len(found))
    backward = [film_at("clips", "train", index, seed=3).shots[0].actions[0].backward for index in range(600)]
    assert abs(np.mean(backward) - 0.5) < 3 * 0.5 / np.sqrt(600)


def test_every_verb_is_played_in_the_broad_corpora_and_most_in_the_narrow_one() -> None:
    assert set(possible_verbs(ALL)) == set(VERBS)
    assert set(VERBS) - set(possible_verbs(NARROW)) <= {"carry"}
    seen = {event.name for index in range(700) for _, event in film_events(film_at("clips", "train", index, seed=0))}
    assert seen == {name for verb in VERBS.values() for name in verb.names}


def test_things_are_whole_numbers_of_actions_and_stand_in_the_picture_when_their_action_begins_or_ends() -> None:
    for name in CORPORA:
        for index in range(30):
            film = film_at(name, next(iter(CORPORA[name].films["full"])), index, seed=1)
            for shot in film.shots:
                for action in shot.actions:
                    assert 0 <= action.start < action.end <= shot.ticks
                    at = poses(shot, np.array([action.start, action.end]))
                    inside = (np.abs(at.x[action.actor] - 0.5) < 0.5) & (np.abs(at.y[action.actor] - 0.5) < 0.5)
                    assert inside.any(), (action, asdict(shot.things[action.actor]))


def test_a_change_of_one_thing_changes_the_pictures() -> None:
    film = film_of("slide")
    (shot,) = film.shots
    other = replace(shot.things[0], colour="blue")
    assert (pictures(film) != pictures(Film(shots=(replace(shot, things=(other,)),)))).any()
