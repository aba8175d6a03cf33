"""Draw frames: the ground, then every thing from the farthest to the nearest, blurred by its motion.

A frame is exposed at four moments around its tick. What stands still in all four is drawn once; the rest is the mean
of four sprites, which is exact, because sprites are premultiplied. The four lie evenly around the tick and
are summed as integers, so a film and its mirror image give the same pictures to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pseudocap.toyworld.actions import Poses, camera, poses
from pseudocap.toyworld.backgrounds import ground
from pseudocap.toyworld.scenes import TICKS, Film, Shot
from pseudocap.toyworld.sprites import ANGLE, OVER, STEPS, Appearance, sprite

EXPOSURES = np.array([-3, -1, 1, 3])  # ticks around the middle of a frame
SMALLEST = 3  # pixels: a thing that has shrunk below this is gone


def render_film(film: Film, size: int) -> Iterator[np.ndarray]:
    """Render every frame, [size, size, RGB] uint8, in order."""
    for shot in film.shots:
        yield from _frames(shot, size, np.arange(shot.frames))


def render(film: Film, frame: int, size: int) -> np.ndarray:
    shot, index = film.shot_at(frame)
    return next(_frames(shot, size, np.array([index])))


def _frames(shot: Shot, size: int, numbers: np.ndarray) -> Iterator[np.ndarray]:
    ticks = (TICKS * numbers[:, None] + TICKS // 2 + EXPOSURES).ravel()
    exposed = _ExposedThings(shot, size, poses(shot, ticks), camera(shot, ticks))
    margin = -(-int(abs(shot.pan) * size) // 2) + 2 if shot.pan else 0
    wide = ground(shot.background, size, size + 2 * margin, shot.light, shot.texture).copy()
    looks = np.round(camera(shot, TICKS * numbers + TICKS // 2) * size * OVER).astype(int) + margin * OVER
    resting = 0 if shot.pan else exposed.resting()  # the farthest things, if they never change, belong to the ground
    for thing in range(resting):
        exposed.draw(wide[:, margin : margin + size], thing, 0)
    frame = np.empty(0)
    for number, look in enumerate(looks.tolist()):
        if number and exposed.unchanged(number) and look == looks[number - 1]:
            yield frame.copy()
            continue
        column, rest = divmod(look, OVER)
        light = wide[:, column : column + size].copy()
        if rest:
            light += (wide[:, column + 1 : column + 1 + size] - light) * (rest / OVER)
        for thing in range(resting, len(shot.things)):
            exposed.draw(light, thing, number * len(EXPOSURES))
        frame = np.minimum(light + 0.5, 255).astype(np.uint8)
        yield frame


class Piece(NamedTuple):
    """Hold a sprite and its position; `alpha` is its opacity in STEPS."""

    pixels: np.ndarray
    top: int
    left: int
    alpha: int


class _ExposedThings:
    """Hold the things of a shot at every moment of exposure, rounded to what a sprite can be."""

    def __init__(self, shot: Shot, size: int, at: Poses, pan: np.ndarray) -> None:
        self._size = size
        self._things = shot.things
        self._light = shot.light
        heights = np.array([[thing.height] for thing in shot.things]).reshape(-1, 1)
        self._heights, self._alpha = _rounded(heights * at.scale * size), _rounded(at.alpha * STEPS)
        self._looks = {"angle": _rounded(at.angle / ANGLE) * ANGLE % 360, "height": self._heights}
        self._looks |= {name: _rounded(getattr(at, name) * STEPS) for name in ("mix", "opened", "level", "glow")}
        self._x = _rounded((at.x - pan) * size * OVER)
        self._y = _rounded(at.y * size * OVER)
        self._split = _rounded(at.split * size * OVER)
        self._stream = at.stream > 0
        state = np.stack([*self._looks.values(), self._alpha, self._x, self._y, self._split, self._stream], axis=-1)
        state = state.reshape(len(shot.things), state.shape[1] // len(EXPOSURES), len(EXPOSURES), state.shape[2])
        self._still = (state == state[:, :, :1]).all(axis=(2, 3))
        self._rests = (state == state[:, :1, :1]).all(axis=(1, 2, 3))
        self._same = self._still.all(0) & (state == np.roll(state, 1, axis=1)).all(axis=(0, 2, 3))
        self._pourers = {each.actor: each.patient for each in shot.actions if each.verb == "pour"}

    def resting(self) -> int:
        """Return how many of the farthest things never change."""
        return int(np.argmin([*self._rests, False]))

    def unchanged(self, number: int) -> bool:
        """Return whether everything is as it was in the frame before, and nothing is blurred."""
        return bool(self._same[number])

    def draw(self, frame: np.ndarray, thing: int, first: int) -> None:
        """Draw a thing, exposed from the moment `first` on, over the frame."""
        moments = [first] if self._still[thing, first // len(EXPOSURES)] else range(first, first + len(EXPOSURES))
        layers = [[self._water(thing, moment) for moment in moments if self._stream[thing, moment]]]
        for side in (-1, 1) if self._split[thing, list(moments)].any() else (0,):
            layers.append([piece for moment in moments for piece in self._half(thing, moment, side)])
        for pieces in layers:
            if pieces:
                self._blend(frame, pieces, len(moments))

    def _blend(self, frame: np.ndarray, pieces: list[Piece], moments: int) -> None:
        """Blend the mean over the moments into the frame, as far as it lies within."""
        top, left = min(piece.top for piece in pieces), min(piece.left for piece in pieces)
        bottom = max(piece.top + piece.pixels.shape[0] for piece in pieces)
        right = max(piece.left + piece.pixels.shape[1] for piece in pieces)
        first, last = (max(top, 0), max(left, 0)), (min(bottom, self._size), min(right, self._size))
        if first[0] >= last[0] or first[1] >= last[1]:
            return
        total = np.zeros((bottom - top, right - left, 4), np.float32)  # of integers, so in any order the same
        for pixels, row, column, alpha in pieces:
            area = total[row - top : row - top + len(pixels), column - left : column - left + pixels.shape[1]]
            area += pixels if alpha == STEPS else np.floor(pixels * (alpha / STEPS))
        layer = total[first[0] - top : last[0] - top, first[1] - left : last[1] - left]
        area = frame[first[0] : last[0], first[1] : last[1]]
        area *= 1 - layer[..., 3:] * np.float32(1 / 255 / moments)
        area += layer[..., :3] * np.float32(self._light / moments)

    def _half(self, thing: int, moment: int, side: int) -> list[Piece]:
        """Return the thing at one moment, or one of the halves that it has split into; nothing where it is gone."""
        alpha, height = int(self._alpha[thing, moment]), int(self._heights[thing, moment])
        if alpha <= 0 or height < SMALLEST:
            return []
        own = self._things[thing]
        look = Appearance(
            kind=own.kind,
            colour=own.colour,
            becomes=own.becomes or own.colour,
            material=own.material,
            facing=own.facing,
            **{name: int(values[thing, moment]) for name, values in self._looks.items()},
        )
        x = int(self._x[thing, moment]) + side * int(self._split[thing, moment])
        (column, right), (row, down) = divmod(x, OVER), divmod(int(self._y[thing, moment]), OVER)
        pixels = sprite(look, right, down)
        return [Piece(pixels, row - len(pixels) // 2, column - len(pixels) // 2, alpha)]

    def _water(self, thing: int, moment: int) -> Piece:
        """Return the stream of water from a vessel's lip into the middle of the other."""
        patient = self._pourers[thing]
        column = int(self._x[patient, moment]) // OVER
        top = int(self._y[thing, moment]) // OVER + int(self._heights[thing, moment]) // 6
        bottom = int(self._y[patient, moment]) // OVER + int(self._heights[patient, moment]) // 3
        width = max(2, self._size // 26)
        pixels = np.empty((max(1, bottom - top), width, 4), np.float32)
        pixels[:] = (64, 136, 232, 255)
        return Piece(pixels, top, column - width // 2, STEPS)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.int64)
