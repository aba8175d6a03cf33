"""Name what fills the parts of a thing, and give each a letter, by which the kinds draw with them.

HOLE cuts away what was drawn before; MAIN has the thing's own colour and carries its material.
"""

from __future__ import annotations

from enum import IntEnum

Role = IntEnum(
    "Role",
    "HOLE MAIN SECOND LIGHT PATTERN GLOW BLACK WHITE YELLOW RED GREEN WATER BROWN SKIN GREY PANE ORANGE",
    start=0,
)
M, S, L, K, W = Role.MAIN, Role.SECOND, Role.LIGHT, Role.BLACK, Role.WHITE
Y, N, P, A, G, R, H = Role.YELLOW, Role.BROWN, Role.SKIN, Role.GREY, Role.GREEN, Role.RED, Role.HOLE
O, GLOW, PANE, WATER = Role.ORANGE, Role.GLOW, Role.PANE, Role.WATER  # noqa: E741
