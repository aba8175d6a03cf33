"""Check that films show their scenes: measured in pixels, most of them decoded from the written file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.acting import BALL, FRAMES, centre_of, film_of, near

from pseudocap.toyworld.actions import camera, events, poses
from pseudocap.toyworld.backgrounds import TONES
from pseudocap.toyworld.casting import BACKGROUNDS
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.film import write_film
from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.render import render, render_film
from pseudocap.toyworld.scenes import COLOURS, FPS, MATERIALS, TICKS, Action, Film, Shot, Thing
from pseudocap.toyworld.sprites import Appearance, sprite
from pseudocap.video.decode import open_video, probe
from pseudocap.video.reader import Frame

SIZE = 64
CUBE = Thing(kind="cube", colour="blue", x=0.5, y=0.5)


def still(*things: Thing, background: str = "wall", frames: int = 4, **shot: object) -> Film:
    return Film(shots=(Shot(things=things, actions=(), background=background, frames=frames, **shot),))


def decoded(film: Film, folder: Path) -> list[np.ndarray]:
    """Decode the frames of the written file with our reader."""
    path = folder / "film.mp4"
    write_film(path, film, size=SIZE)
    with open_video(path, threads=1) as video:
        frames = list(video.decode([(number + 0.25) / FPS for number in range(film.frames)]))
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame.pixels for frame in frames]


@pytest.mark.parametrize("vector", [(0.4, 0.0), (-0.4, 0.0), (0.0, 0.4), (0.0, -0.4)])
def test_in_the_decoded_film_a_thing_of_its_colour_is_where_the_scene_says_at_every_time(
    vector: tuple[float, float], tmp_path: Path
) -> None:
    film = film_of("slide", vector=vector)
    (shot,) = film.shots
    frames = decoded(film, tmp_path)
    at = poses(shot, np.arange(FRAMES) * TICKS + TICKS // 2)
    for number, frame in enumerate(frames):
        x, y = centre_of(frame, "red")
        assert abs(x - at.x[0, number]) < 2 / SIZE, number
        assert abs(y - at.y[0, number]) < 2 / SIZE, number


@pytest.mark.parametrize(
    ("vector", "direction"),
    [((0.4, 0.0), "right"), ((-0.4, 0.0), "left"), ((0.0, 0.4), "down"), ((0.0, -0.4), "up")],
)
@pytest.mark.parametrize("backward", [False, True])
def test_the_decoded_motion_has_the_direction_that_the_event_names(
    vector: tuple[float, float], direction: str, backward: bool, tmp_path: Path
) -> None:
    film = film_of("slide", vector=vector, backward=backward)
    frames = decoded(film, tmp_path)
    (x, y), (later_x, later_y) = centre_of(frames[2], "red"), centre_of(frames[-3], "red")
    across, down = later_x - x, later_y - y
    seen = ("right" if across > 0 else "left") if abs(across) > abs(down) else ("down" if down > 0 else "up")
    assert events(film.shots[0])[0].direction == seen
    assert (seen == direction) is not backward


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_survives_drawing_and_decoding_better_than_as_any_other(colour: str, tmp_path: Path) -> None:
    frames = decoded(still(replace(CUBE, colour=colour, size="big")), tmp_path)
    front = frames[-1][SIZE // 2 + 2 : SIZE // 2 + 10, SIZE // 2 - 8 : SIZE // 2 - 2].reshape(-1, 3).mean(0)
    distance = {name: np.abs(front - np.array(value)).sum() for name, value in COLOURS.items()}
    assert min(distance, key=distance.__getitem__) == colour


def test_growing_shows_more_of_a_colour_and_turning_shows_another_one() -> None:
    grown = list(render_film(film_of("grow", vector=(0.0, 0.0)), SIZE))
    assert near(grown[-1], "red").sum() > 2.5 * near(grown[0], "red").sum()
    turned = list(render_film(film_of("recolour", vector=(0.0, 0.0)), SIZE))
    assert near(turned[0], "red").sum() > 40
    assert near(turned[-1], "red").sum() == 0
    assert near(turned[-1], "blue").sum() > 40


def test_what_has_vanished_leaves_the_ground_alone_and_what_has_split_is_there_twice() -> None:
    gone = list(render_film(film_of("fade", vector=(0.0, 0.0)), SIZE))
    empty = next(render_film(still(), SIZE))
    np.testing.assert_array_equal(gone[-1], empty)
    halves = near(list(render_film(film_of("split", vector=(0.0, 0.0)), SIZE))[-1], "red")
    filled = halves.any(0)
    assert np.diff(np.concatenate([[0], filled.astype(int), [0]])).clip(0).sum() == 2, "two stretches of columns"


def test_the_nearer_thing_hides_the_farther_one() -> None:
    ball, cube = replace(BALL, size="small"), replace(CUBE, size="big")
    assert near(render(still(ball, cube), 0, SIZE), "red").sum() == 0
    assert near(render(still(cube, ball), 0, SIZE), "red").sum() > 30
    moving = Action(verb="slide", actor=0, start=0, end=240, vector=(0.5, 0.0))
    start = replace(ball, x=0.25)
    behind = Film(shots=(Shot(things=(start, cube), actions=(moving,), background="wall", frames=20),))
    before = Film(shots=(replace(behind.shots[0], things=(cube, start), actions=(replace(moving, actor=1),)),))
    seen = [[near(frame, "red").sum() for frame in render_film(film, SIZE)] for film in (behind, before)]
    assert seen[0][10] == 0
    assert min(seen[1]) > 30


@pytest.mark.parametrize("quarters", [(0, 0), (1, 0), (2, 3), (3, 1)])
def test_a_sprite_lies_where_it_should_to_the_quarter_of_a_pixel(quarters: tuple[int, int]) -> None:
    look = Appearance(kind="ball", colour="red", becomes="red", material="plain", facing=1, height=20)
    opacity = sprite(look, *quarters)[..., 3]
    middles = np.arange(len(opacity)) + 0.5 - len(opacity) // 2
    across, down = (opacity.sum(axis) @ middles / opacity.sum() for axis in (0, 1))
    assert (across, down) == pytest.approx((quarters[0] / 4, quarters[1] / 4), abs=0.13)


def test_a_vessel_fills_while_water_is_poured() -> None:
    film = film_of("pour", vector=(1.0, 0.0))
    water = [near(frame, "blue", within=70)[:, 20:44].sum() for frame in render_film(film, SIZE)]
    assert water[-1] > water[0] + 60


def test_only_what_moves_is_blurred() -> None:
    frames = list(render_film(film_of("slide", vector=(0.7, 0.0)), SIZE))
    middle, still_one = frames[FRAMES // 2].astype(int), frames[0].astype(int)
    spread = [np.abs(np.diff(frame[SIZE // 2], axis=0)).max() for frame in (middle, still_one)]
    assert spread[0] < 0.75 * spread[1], "edges of a moving thing are soft"
    np.testing.assert_array_equal(frames[0], frames[1])


def test_when_the_camera_pans_everything_goes_the_other_way() -> None:
    film = still(BALL, pan=0.3, frames=40)
    xs = [centre_of(frame, "red")[0] for frame in render_film(film, SIZE)]
    ticks = np.arange(40) * TICKS + TICKS // 2
    np.testing.assert_allclose(xs, BALL.x - camera(film.shots[0], ticks), atol=1.5 / SIZE)
    assert xs[-1] < xs[0] - 0.2


def test_one_frame_by_its_number_is_that_frame_of_the_film() -> None:
    for index in range(6):
        film = film_at("msrvtt", "train", index, seed=5)
        frames = list(render_film(film, 32))
        assert len(frames) == film.frames
        for number in (0, 17, film.frames // 2, film.frames - 1):
            np.testing.assert_array_equal(render(film, number, 32), frames[number])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_two_parts_or_more_and_a_picture_that_no_other_kind_has(kind: str) -> None:
    def shape(name: str) -> np.ndarray:
        look = Appearance(kind=name, colour="red", becomes="red", material="plain", facing=1, height=28, level=14)
        return sprite(look, 0, 0)[..., 3] > 127

    assert len(KINDS[kind].parts) >= 2
    ours = shape(kind)
    assert ours.sum() > 100
    for other in KINDS:
        if other != kind:
            theirs = shape(other)
            assert (ours ^ theirs).sum() > 0.1 * (ours | theirs).sum(), f"a {kind} is a {other}"


def test_every_material_and_every_ground_looks_different() -> None:
    looks = [render(still(replace(CUBE, material=material)), 0, SIZE) for material in MATERIALS]
    grounds = [render(still(background=background), 0, SIZE) for background in BACKGROUNDS]
    assert set(BACKGROUNDS) == set(TONES)
    for pictures in (looks, grounds):
        for index, picture in enumerate(pictures):
            for other in pictures[:index]:
                assert (np.abs(picture.astype(int) - other).max(-1) > 12).sum() > 25


def test_a_written_film_has_the_length_and_rate_that_its_scene_says(tmp_path: Path) -> None:
    film = film_at("msvd", "test", 3, seed=0)
    write_film(tmp_path / "a.mp4", film, size=SIZE)
    found = probe(tmp_path / "a.mp4")
    assert (found.codec, found.width, found.height, found.fps) == ("h264", SIZE, SIZE, FPS)
    assert found.duration == pytest.approx(film.seconds)
    assert found.complete
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
