"""Draw the backgrounds of films, wider than the picture where the camera pans. Each is drawn once per shot."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

HORIZON = 0.44
# Above and below the horizon: colour at the top and at the bottom of each.
TONES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "meadow": ((150, 200, 240), (206, 230, 246), (136, 190, 96), (92, 150, 66)),
    "beach": ((130, 196, 240), (90, 170, 220), (238, 220, 170), (222, 196, 138)),
    "road": ((186, 204, 220), (214, 222, 228), (120, 122, 128), (92, 94, 100)),
    "room": ((226, 206, 180), (216, 194, 166), (170, 120, 80), (140, 96, 62)),
    "table top": ((198, 214, 206), (184, 202, 194), (196, 150, 104), (170, 122, 80)),
    "snow": ((176, 196, 220), (214, 226, 238), (240, 246, 252), (214, 226, 240)),
    "night": ((18, 22, 58), (42, 46, 92), (40, 62, 60), (24, 40, 42)),
    "sea": ((170, 214, 240), (200, 228, 244), (60, 130, 190), (30, 84, 150)),
    "desert": ((246, 216, 160), (250, 230, 190), (226, 170, 100), (200, 140, 78)),
    "space": ((14, 12, 32), (20, 16, 46), (26, 20, 58), (34, 26, 70)),
    "wall": ((198, 190, 206), (190, 182, 198), (182, 174, 190), (170, 162, 180)),
}


@lru_cache(maxsize=64)
def ground(name: str, size: int, width: int, light: float, texture: int) -> np.ndarray:
    """Draw a background, [size, width, RGB] as float32, 0 to 255."""
    rng = np.random.default_rng(texture)
    rows = np.arange(size) / size
    tones = np.array(TONES[name], float)
    high, low = np.clip(rows / HORIZON, 0, 1)[:, None], np.clip((rows - HORIZON) / (1 - HORIZON), 0, 1)[:, None]
    column = np.where((rows < HORIZON)[:, None], _between(tones[:2], high), _between(tones[2:], low))
    picture = np.repeat(column[:, None], width, axis=1)
    picture += _surface(rng, size, width, 7.0)[..., None]
    _details(picture, name, rng, size, width)
    return np.clip(picture * light, 0, 255).astype(np.float32)


def _between(ends: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return ends[0] + (ends[1] - ends[0]) * amount


def _surface(rng: np.random.Generator, size: int, width: int, spread: float) -> np.ndarray:
    """Return soft blotches and a fine grain, as every filmed surface has."""
    coarse = rng.normal(0, 1, (-(-size // 8) + 1, -(-width // 8) + 1))
    blotches = np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:size, :width]
    soft = (blotches + np.roll(blotches, 3, 0) + np.roll(blotches, 3, 1) + np.roll(blotches, (5, 5), (0, 1))) / 4
    return spread * (0.7 * soft + 0.25 * rng.normal(0, 1, (size, width)))


def _details(picture: np.ndarray, name: str, rng: np.random.Generator, size: int, width: int) -> None:
    """Draw what makes each background recognisable onto the picture."""
    line = round(HORIZON * size)
    x = np.arange(width)
    if name in ("night", "space"):
        deepest = line if name == "night" else size
        spots = (rng.integers(0, deepest, width // 3), rng.integers(0, width, width // 3))
        picture[spots] = (236, 236, 214)
    elif name == "road":
        dash = (x // max(1, size // 8)) % 2 == 0
        middle = round(0.74 * size)
        picture[middle : middle + max(1, size // 40), dash] = (240, 240, 230)
        picture[line : line + max(1, size // 20)] = (120, 160, 90)
    elif name == "room":
        picture[line : line + max(1, size // 26)] = (244, 236, 222)
        left = int(rng.integers(0, width - size // 4))
        top, edge = size // 12, max(1, size // 40)
        picture[top : top + size // 4, left : left + size // 4] = (250, 246, 236)
        picture[top + edge : top + size // 4 - edge, left + edge : left + size // 4 - edge] = (170, 206, 236)
    elif name == "wall":
        picture[:, x % max(4, size // 6) == 0] -= 12
    elif name in ("sea", "desert", "beach", "snow", "meadow"):
        waves = {"sea": 0.008, "desert": 0.05, "beach": 0.006, "snow": 0.04, "meadow": 0.03}[name]
        hills = line + np.round(waves * size * np.sin(x / width * 9 + rng.uniform(0, 6))).astype(int)
        tone = np.array(TONES[name][2], float)
        for row in range(max(0, line - size // 12), min(size, line + size // 12)):
            picture[row] = np.where((row >= hills)[:, None], tone, TONES[name][1])
        if name == "sea":
            for row in range(line + size // 10, size, max(3, size // 9)):
                picture[row, (x + row * 3) % (size // 4) < size // 9] += 26
    elif name == "table top":
        picture[line : line + max(1, size // 30)] = (130, 88, 54)
