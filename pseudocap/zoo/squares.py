"""Draw the smallest world in which time matters, one square that moves: that of `pseudocap demo --from-nothing`.

Red, green or blue, to the left, to the right, up or down. A film and its reverse hold the same frames, so the caption
follows from their order alone.
"""

from __future__ import annotations

import torch

COLOURS = {"red": (1.0, 0.1, 0.1), "green": (0.1, 0.9, 0.2), "blue": (0.2, 0.3, 1.0)}
MOVES = {"to the left": (0, -1), "to the right": (0, 1), "up": (-1, 0), "down": (1, 0)}
FRAMES, SIZE, SIDE = 8, 32, 9
MEAN, STD = 0.45, 0.225  # those of a TimeSformer


def captions() -> list[str]:
    return [f"a {colour} square moves {move}" for colour in COLOURS for move in MOVES]


def draw_films(takes: int, *, seed: int) -> tuple[torch.Tensor, list[str]]:
    """Draw `takes` films of every caption, each in its own random lane: normalised frames [B, T, 3, H, W], captions."""
    generator = torch.Generator().manual_seed(seed)
    films, texts = [], []
    for _ in range(takes):
        for colour in COLOURS:
            for move in MOVES:
                films.append(_draw(COLOURS[colour], MOVES[move], generator))
                texts.append(f"a {colour} square moves {move}")
    return (torch.stack(films) - MEAN) / STD, texts


def _draw(colour: tuple[float, float, float], step: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    film_T3HW = 0.25 + 0.05 * torch.rand(FRAMES, 3, SIZE, SIZE, generator=generator)
    lane = int(torch.randint(0, SIZE - SIDE + 1, (), generator=generator))
    for t in range(FRAMES):
        along = round(t * (SIZE - SIDE) / (FRAMES - 1))
        if sum(step) < 0:
            along = SIZE - SIDE - along
        top, left = (along, lane) if step[0] else (lane, along)
        film_T3HW[t, :, top : top + SIDE, left : left + SIDE] = torch.tensor(colour)[:, None, None]
    return film_T3HW
