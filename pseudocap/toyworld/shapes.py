"""Build silhouettes: polygons in a unit box, each in a role that the thing's colours fill in.

The box runs from -0.5 to 0.5, y downwards, so that 0.5 is the ground. Ellipses are polygons too, because they turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pseudocap.toyworld.roles import Role


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Hold a polygon [corner, (x, y)]. `opens` is where it moves as the thing opens; `level` marks rising liquid."""

    role: Role
    points: np.ndarray
    opens: tuple[float, float] = (0.0, 0.0)
    level: bool = False


def ellipse(
    role: Role, cx: float, cy: float, rx: float, ry: float, begin: float = 0.0, end: float = 360.0, turn: float = 0.0
) -> Part:
    """Return an ellipse, or a slice between two angles (degrees, clockwise from three o'clock), turned by `turn`."""
    corners = 22 if end - begin >= 360 else 14
    angles = np.radians(np.linspace(begin, end, corners, endpoint=end - begin < 360))
    x, y = rx * np.cos(angles), ry * np.sin(angles)
    lean = np.radians(turn)
    points = np.stack([cx + x * np.cos(lean) - y * np.sin(lean), cy + x * np.sin(lean) + y * np.cos(lean)], 1)
    return Part(role, points)


def polygon(role: Role, *coordinates: float, opens: tuple[float, float] = (0.0, 0.0)) -> Part:
    """Return a polygon from x, y, x, y, ..."""
    return Part(role, np.array(coordinates, dtype=float).reshape(-1, 2), opens)


def box(
    role: Role,
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    opens: tuple[float, float] = (0.0, 0.0),
    level: bool = False,
) -> Part:
    """Return a rectangle with upright sides."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)
    return Part(role, corners, opens, level)


def star(role: Role, cx: float, cy: float, outer: float, inner: float, points: int) -> Part:
    """Return a star with so many points, one of them up."""
    angles = np.radians(np.arange(2 * points) * 180 / points - 90)
    radii = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return Part(role, np.stack([cx + radii * np.cos(angles), cy + radii * np.sin(angles)], 1))


def wheels(*centres: float, radius: float = 0.13, y: float = 0.36) -> tuple[Part, ...]:
    """Return black wheels with grey hubs."""
    rims = tuple(ellipse(Role.BLACK, x, y, radius, radius) for x in centres)
    return rims + tuple(ellipse(Role.GREY, x, y, radius * 0.4, radius * 0.4) for x in centres)


def eye(cx: float, cy: float, radius: float = 0.07) -> tuple[Part, ...]:
    return (ellipse(Role.WHITE, cx, cy, radius, radius), ellipse(Role.BLACK, cx, cy, radius * 0.55, radius * 0.55))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Describe a kind: `nouns`, commonest first; `group`, vaguer; `goes`, its motion; `can`, what else it does."""

    nouns: tuple[str, ...]
    group: str
    goes: str
    parts: tuple[Part, ...]
    detail: str = ""
    can: frozenset[str] = frozenset()


def kind(nouns: str, group: str, goes: str, *parts: Part, detail: str = "", can: str = "") -> Kind:
    names, abilities = tuple(nouns.split("|")), frozenset(can.split())
    return Kind(nouns=names, group=group, goes=goes, parts=parts, detail=detail, can=abilities)
