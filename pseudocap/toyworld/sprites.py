"""Draw one thing in one pose as pixels: polygons drawn four times too large in Pillow, coloured, and shrunk.

A sprite is premultiplied (colour times opacity), so that drawing several over one another is a sum, and a blurred one
is the mean of sharp ones. Poses are rounded to quarter pixels and a few degrees, and finished sprites are cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from pseudocap.toyworld.kinds import KINDS
from pseudocap.toyworld.roles import Role
from pseudocap.toyworld.scenes import COLOURS
from pseudocap.toyworld.shapes import Part

OVER = 4  # drawn so many times too large
ANGLE, STEPS = 6, 24  # degrees, and the steps of everything that runs from 0 to 1
FIXED: dict[Role, tuple[int, int, int]] = {
    Role.BLACK: (34, 34, 40),
    Role.WHITE: (244, 244, 244),
    Role.YELLOW: (248, 210, 60),
    Role.RED: (206, 44, 44),
    Role.GREEN: (70, 150, 70),
    Role.WATER: (56, 128, 226),
    Role.BROWN: (120, 78, 46),
    Role.SKIN: (240, 190, 150),
    Role.GREY: (150, 152, 158),
    Role.PANE: (186, 218, 236),
    Role.ORANGE: (242, 146, 40),
}
OUTLINE = len(Role)


@dataclass(frozen=True, kw_only=True, slots=True)
class Appearance:
    """Hold all that decides how a thing looks, apart from its position. `height` in pixels; the last four in STEPS."""

    kind: str
    colour: str
    becomes: str
    material: str
    facing: int
    height: int
    angle: int = 0
    mix: int = 0
    opened: int = 0
    level: int = 0
    glow: int = 0


@lru_cache(maxsize=6000)
def sprite(look: Appearance, right: int, down: int) -> np.ndarray:
    """Return premultiplied [height, width, RGBA] integers; the corner of the middle pixel is the thing's centre.

    `right` and `down` are quarters of a pixel by which the centre lies beyond that corner.
    """
    large = _large(look)
    left, top, side = OVER - right, OVER - down, large.width - 2 * OVER
    return np.asarray(large.reduce(OVER, box=(left, top, left + side, top + side))).astype(np.float32)


@lru_cache(maxsize=600)
def _large(look: Appearance) -> Image.Image:
    """Draw the thing OVER times too large, in the middle of a square with room to turn in.

    RGBX: shrunk as four plain bands, where RGBA would be divided by its opacity and multiplied again.
    """
    scale = look.height * OVER
    reach = 0.76 if look.angle or look.opened else 0.56  # to the corner of the unit box, or to its edge and a little
    half = -(-int(scale * reach) // OVER) * OVER + 2 * OVER  # whole pixels
    turn = np.radians(look.angle)
    across = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * scale
    across[0] *= look.facing
    roles = Image.new("L", (2 * half, 2 * half))
    draw = ImageDraw.Draw(roles)
    for part in KINDS[look.kind].parts:
        points = _posed(part, look) @ across + half
        corners = points.ravel().tolist()
        draw.polygon(corners, fill=int(part.role))
        if part.role:
            draw.line(corners + corners[:2], fill=OUTLINE, width=OVER // 2)
    index = np.asarray(roles)
    if look.material not in ("plain", "shiny"):
        index = np.where((index == Role.MAIN) & _pattern(look, half, scale), np.uint8(Role.PATTERN), index)
    palette = _palette(look.colour, look.becomes, look.material, look.mix, look.glow)
    pixels = np.take(palette, index).view(np.uint8).reshape(*index.shape, 4)
    if look.material == "shiny":
        _shine(pixels, index, half, scale)
    return Image.frombuffer("RGBX", (2 * half, 2 * half), pixels, "raw", "RGBX", 0, 1)


def _posed(part: Part, look: Appearance) -> np.ndarray:
    points = part.points + np.array(part.opens) * (look.opened / STEPS)
    if part.level:  # liquid: its top edge comes down to the bottom
        top, bottom = points[:, 1].min(), points[:, 1].max()
        points = points.copy()
        points[:, 1] = np.maximum(points[:, 1], bottom - (bottom - top) * look.level / STEPS)
    return points


def _pattern(look: Appearance, half: int, scale: int) -> np.ndarray:
    """Return where the second tone of a material lies, in the thing's own directions."""
    y, x = (each.astype(np.float32) / scale for each in np.ogrid[-half:half, -half:half])
    turn = np.radians(look.angle)
    x, y = (x * np.cos(turn) + y * np.sin(turn)) * look.facing, y * np.cos(turn) - x * np.sin(turn)
    if look.material == "striped":
        return (x + y) % 0.24 < 0.12
    if look.material == "dotted":
        return (x % 0.2 - 0.1) ** 2 + (y % 0.2 - 0.1) ** 2 < 0.0042
    if look.material == "checked":
        return (x % 0.28 < 0.14) ^ (y % 0.28 < 0.14)
    return (y + 0.03 * np.sin(9 * x)) % 0.13 < 0.035  # the grain of wood


def _shine(pixels: np.ndarray, index: np.ndarray, half: int, scale: int) -> None:
    """Add a bright streak from above, fixed to the light and not to the thing."""
    y, x = (each.astype(np.float32) / scale for each in np.ogrid[-half:half, -half:half])
    streak = np.exp(-(((x + y + 0.22) / 0.1) ** 2)) * 0.75 + np.exp(-(((x + y - 0.12) / 0.05) ** 2)) * 0.4
    on = (index == Role.MAIN) | (index == Role.SECOND)
    bright = pixels[..., :3] + (255 - pixels[..., :3]) * np.clip(streak, 0, 1)[..., None]
    pixels[..., :3] = np.where(on[..., None], bright, pixels[..., :3])


@lru_cache(maxsize=2000)
def _palette(colour: str, becomes: str, material: str, mix: int, glow: int) -> np.ndarray:
    base = np.array(COLOURS[colour], float)
    if mix:
        base += (np.array(COLOURS[becomes], float) - base) * mix / STEPS
    base += (255 - base) * 0.45 * glow / STEPS
    light, dark = base + (255 - base) * 0.55, base * 0.62
    second_tone = {"wooden": base * 0.72, "checked": base * 0.55}.get(
        material, np.array([250, 250, 250.0]) if base.mean() < 190 else base * 0.5
    )
    colours = np.zeros((len(Role) + 1, 4))
    colours[1:, 3] = 255
    for role, value in FIXED.items():
        colours[role, :3] = value
    colours[Role.MAIN, :3], colours[Role.SECOND, :3], colours[Role.LIGHT, :3] = base, dark, light
    colours[Role.PATTERN, :3] = second_tone
    unlit, lit = np.array([70, 70, 84.0]), np.array([255, 240, 120.0])
    colours[Role.GLOW, :3] = unlit + (lit - unlit) * glow / STEPS
    colours[OUTLINE, :3] = base * 0.32
    return np.clip(colours, 0, 255).astype(np.uint8).view(np.uint32)[:, 0]  # four bytes that are looked up as one
