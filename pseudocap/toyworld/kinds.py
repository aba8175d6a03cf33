"""Define the kinds of things: silhouettes of two parts or more, their nouns, how they move. `KINDS` holds all.

Everything that faces anywhere faces right; a thing's own `facing` flips it.
"""

from __future__ import annotations

from pseudocap.toyworld.kinds_still import HOUSEHOLD, NATURE, TOYS
from pseudocap.toyworld.roles import GLOW, PANE, A, G, K, L, M, N, O, P, R, S, W, Y
from pseudocap.toyworld.shapes import Kind, box, ellipse, eye, kind, polygon, wheels

VEHICLES = {
    "car": kind(
        "car|automobile", "vehicle", "drive",
        polygon(M, -0.28, 0.02, -0.17, -0.24, 0.14, -0.24, 0.3, 0.02), box(M, -0.5, 0.0, 0.5, 0.3),
        polygon(PANE, -0.2, 0.0, -0.13, -0.17, -0.03, -0.17, -0.03, 0.0),
        polygon(PANE, 0.03, 0.0, 0.03, -0.17, 0.11, -0.17, 0.21, 0.0), box(Y, 0.42, 0.06, 0.5, 0.15),
        *wheels(-0.27, 0.27, radius=0.14, y=0.32), detail="black wheels",
    ),
    "truck": kind(
        "truck|lorry", "vehicle", "drive",
        box(M, -0.5, -0.34, 0.14, 0.24), polygon(S, 0.16, 0.24, 0.16, -0.16, 0.36, -0.16, 0.5, 0.04, 0.5, 0.24),
        polygon(PANE, 0.23, 0.02, 0.23, -0.1, 0.33, -0.1, 0.42, 0.02), *wheels(-0.3, 0.3), detail="a big cargo box",
    ),
    "bus": kind(
        "bus|coach", "vehicle", "drive",
        box(M, -0.5, -0.3, 0.5, 0.3), *(box(PANE, x, -0.2, x + 0.15, 0.0) for x in (-0.42, -0.2, 0.02)),
        box(PANE, 0.28, -0.2, 0.46, 0.06), box(W, -0.5, 0.08, 0.26, 0.14), *wheels(-0.3, 0.28), detail="many windows",
    ),
    "train": kind(
        "train|locomotive|engine", "vehicle", "drive",
        box(M, -0.16, -0.1, 0.46, 0.22), box(S, -0.5, -0.36, -0.14, 0.22), box(PANE, -0.42, -0.26, -0.23, -0.08),
        polygon(K, 0.2, -0.1, 0.16, -0.42, 0.42, -0.42, 0.38, -0.1), box(K, -0.5, 0.2, 0.5, 0.28),
        *wheels(-0.35, -0.05, 0.25, radius=0.11, y=0.38), detail="a black chimney",
    ),
    "tractor": kind(
        "tractor", "vehicle", "drive",
        box(M, -0.1, -0.1, 0.46, 0.2), box(PANE, -0.32, -0.4, 0.0, 0.1), box(S, -0.36, -0.46, 0.04, -0.37),
        box(K, 0.26, -0.34, 0.32, -0.1), ellipse(K, -0.22, 0.22, 0.27, 0.27), ellipse(Y, -0.22, 0.22, 0.12, 0.12),
        *wheels(0.33, radius=0.15, y=0.34), detail="a huge back wheel",
    ),
    "boat": kind(
        "boat|sailboat|ship", "vehicle", "sail",
        box(N, -0.04, -0.48, 0.02, 0.2), polygon(W, 0.05, -0.46, 0.42, 0.1, 0.05, 0.1),
        polygon(L, -0.07, -0.36, -0.07, 0.1, -0.34, 0.1), polygon(M, -0.5, 0.18, 0.5, 0.18, 0.32, 0.48, -0.34, 0.48),
        detail="a white sail",
    ),
    "plane": kind(
        "plane|airplane|aircraft", "vehicle", "fly",
        polygon(S, -0.48, -0.34, -0.3, -0.34, -0.16, -0.02, -0.42, 0.0), ellipse(M, 0.02, 0.04, 0.48, 0.15),
        polygon(S, 0.1, 0.06, -0.06, 0.06, -0.28, 0.4, -0.14, 0.4), ellipse(PANE, 0.36, 0.0, 0.07, 0.05),
        *(ellipse(PANE, x, 0.0, 0.035, 0.035) for x in (-0.12, 0.02, 0.16)), detail="long wings",
    ),
    "helicopter": kind(
        "helicopter|chopper", "vehicle", "fly",
        box(S, -0.5, -0.04, 0.0, 0.06), box(S, -0.5, -0.2, -0.42, 0.06), ellipse(M, 0.14, 0.06, 0.3, 0.22),
        ellipse(PANE, 0.28, 0.0, 0.13, 0.12), box(K, 0.1, -0.3, 0.16, -0.12), box(K, -0.3, -0.36, 0.5, -0.29),
        box(K, -0.06, 0.38, 0.4, 0.43), box(K, 0.1, 0.26, 0.15, 0.4), detail="a rotor on top",
    ),
    "rocket": kind(
        "rocket|spaceship", "vehicle", "fly",
        polygon(O, -0.1, 0.3, 0.1, 0.3, 0.0, 0.5), polygon(S, -0.16, 0.0, -0.36, 0.36, -0.14, 0.3),
        polygon(S, 0.16, 0.0, 0.36, 0.36, 0.14, 0.3),
        polygon(M, 0.0, -0.5, 0.14, -0.28, 0.18, 0.0, 0.14, 0.32, -0.14, 0.32, -0.18, 0.0, -0.14, -0.28),
        ellipse(PANE, 0.0, -0.12, 0.09, 0.09), detail="two fins",
    ),
}  # fmt: skip

ANIMALS = {
    "fish": kind(
        "fish", "animal", "swim",
        polygon(S, -0.2, 0.0, -0.5, -0.26, -0.5, 0.26), polygon(S, -0.05, -0.2, 0.12, -0.4, 0.2, -0.18),
        ellipse(M, 0.1, 0.0, 0.4, 0.26), ellipse(L, 0.02, 0.05, 0.1, 0.12), *eye(0.32, -0.06), can="eat",
    ),
    "bird": kind(
        "bird", "animal", "fly",
        polygon(S, -0.28, 0.06, -0.5, -0.1, -0.46, 0.2), ellipse(M, -0.06, 0.08, 0.3, 0.22),
        ellipse(M, 0.24, -0.16, 0.17, 0.17), polygon(O, 0.38, -0.2, 0.5, -0.13, 0.38, -0.07),
        ellipse(S, -0.12, 0.0, 0.2, 0.1, turn=-25), box(K, -0.08, 0.28, -0.04, 0.48), box(K, 0.04, 0.28, 0.08, 0.48),
        *eye(0.27, -0.19, 0.055), detail="an orange beak", can="eat",
    ),
    "duck": kind(
        "duck", "animal", "swim",
        polygon(M, -0.5, -0.04, -0.3, 0.08, -0.3, 0.3), ellipse(M, -0.05, 0.2, 0.38, 0.24),
        box(M, 0.12, -0.2, 0.3, 0.2), ellipse(M, 0.2, -0.24, 0.18, 0.18), ellipse(O, 0.42, -0.2, 0.12, 0.06),
        ellipse(S, -0.1, 0.18, 0.2, 0.12), *eye(0.24, -0.28, 0.05), detail="an orange bill", can="eat",
    ),
    "cat": kind(
        "cat|kitty", "animal", "walk",
        polygon(M, 0.26, 0.44, 0.44, 0.1, 0.5, 0.14, 0.34, 0.48), ellipse(M, 0.0, 0.24, 0.27, 0.27),
        polygon(M, -0.3, -0.5, -0.06, -0.3, -0.28, -0.12), polygon(M, 0.3, -0.5, 0.06, -0.3, 0.28, -0.12),
        ellipse(M, 0.0, -0.16, 0.3, 0.23), ellipse(L, 0.0, 0.28, 0.13, 0.17), *eye(-0.12, -0.18, 0.065),
        *eye(0.12, -0.18, 0.065), polygon(P, -0.05, -0.09, 0.05, -0.09, 0.0, -0.03), detail="pointed ears", can="eat",
    ),
    "dog": kind(
        "dog|puppy", "animal", "walk",
        polygon(M, -0.36, 0.0, -0.5, -0.26, -0.43, -0.28, -0.28, -0.06), box(M, -0.38, -0.06, 0.22, 0.2),
        *(box(M, x, 0.16, x + 0.11, 0.5) for x in (-0.37, -0.2, 0.0, 0.12)), box(M, 0.08, -0.38, 0.36, 0.0),
        box(M, 0.3, -0.22, 0.5, -0.05), box(K, 0.44, -0.24, 0.5, -0.16),
        polygon(S, 0.06, -0.4, 0.18, -0.4, 0.1, -0.06), box(R, 0.06, 0.0, 0.26, 0.06), *eye(0.28, -0.26, 0.05),
        detail="a red collar", can="eat",
    ),
    "rabbit": kind(
        "rabbit|bunny", "animal", "hop",
        ellipse(M, 0.02, -0.36, 0.07, 0.2, turn=-10), ellipse(M, 0.2, -0.36, 0.07, 0.2, turn=10),
        ellipse(P, 0.2, -0.36, 0.03, 0.13, turn=10), ellipse(W, -0.42, 0.24, 0.1, 0.1),
        ellipse(M, -0.1, 0.22, 0.32, 0.26), ellipse(M, 0.14, -0.08, 0.2, 0.18), ellipse(S, 0.0, 0.46, 0.2, 0.05),
        *eye(0.2, -0.12, 0.05), detail="long ears", can="eat",
    ),
    "elephant": kind(
        "elephant", "animal", "walk",
        ellipse(M, -0.12, 0.0, 0.36, 0.28), *(box(M, x, 0.1, x + 0.14, 0.5) for x in (-0.42, 0.02)),
        ellipse(M, 0.24, -0.14, 0.2, 0.2), polygon(M, 0.32, -0.2, 0.46, -0.1, 0.5, 0.4, 0.4, 0.4, 0.36, 0.0),
        ellipse(S, 0.14, -0.12, 0.13, 0.2), *eye(0.32, -0.18, 0.045), detail="a long trunk", can="eat",
    ),
    "snail": kind(
        "snail", "animal", "crawl",
        polygon(P, -0.5, 0.46, 0.34, 0.46, 0.48, 0.0, 0.36, -0.02, 0.24, 0.26, -0.3, 0.3),
        box(P, 0.3, -0.22, 0.34, 0.02), box(P, 0.45, -0.22, 0.49, 0.04), ellipse(M, -0.08, 0.06, 0.32, 0.32),
        ellipse(S, -0.06, 0.08, 0.2, 0.2), ellipse(M, -0.04, 0.09, 0.1, 0.1), detail="a round shell",
    ),
    "turtle": kind(
        "turtle|tortoise", "animal", "crawl",
        box(G, -0.34, 0.2, -0.2, 0.44), box(G, 0.12, 0.2, 0.26, 0.44), ellipse(G, 0.38, 0.06, 0.13, 0.12),
        ellipse(M, -0.06, 0.24, 0.38, 0.42, 180, 360), box(S, -0.46, 0.22, 0.34, 0.28), *eye(0.42, 0.02, 0.045),
        detail="a hard shell", can="eat",
    ),
    "butterfly": kind(
        "butterfly", "animal", "fly",
        ellipse(M, -0.24, -0.18, 0.25, 0.24), ellipse(M, 0.24, -0.18, 0.25, 0.24), ellipse(S, -0.18, 0.22, 0.18, 0.2),
        ellipse(S, 0.18, 0.22, 0.18, 0.2), ellipse(W, -0.26, -0.2, 0.08, 0.08), ellipse(W, 0.26, -0.2, 0.08, 0.08),
        ellipse(K, 0.0, 0.02, 0.06, 0.36), detail="wide wings",
    ),
    "spider": kind(
        "spider", "animal", "crawl",
        *(
            polygon(K, 0.0, y, side * 0.3, y - 0.22 + 2 * y, side * 0.48, y + 0.2, side * 0.44, y + 0.22,
                    side * 0.28, y - 0.14 + 2 * y, 0.0, y + 0.08)
            for side in (-1, 1) for y in (-0.1, 0.04, 0.18)
        ),
        ellipse(M, 0.0, 0.1, 0.24, 0.26), ellipse(M, 0.0, -0.22, 0.16, 0.14), *eye(-0.07, -0.25, 0.05),
        *eye(0.07, -0.25, 0.05), detail="thin black legs",
    ),
    "penguin": kind(
        "penguin", "animal", "walk",
        ellipse(O, -0.13, 0.46, 0.13, 0.05), ellipse(O, 0.13, 0.46, 0.13, 0.05),
        ellipse(S, -0.3, 0.08, 0.09, 0.24, turn=15), ellipse(S, 0.3, 0.08, 0.09, 0.24, turn=-15),
        ellipse(M, 0.0, 0.06, 0.28, 0.42), ellipse(W, 0.0, 0.14, 0.18, 0.3), ellipse(M, 0.0, -0.3, 0.2, 0.18),
        *eye(-0.08, -0.32, 0.05), *eye(0.08, -0.32, 0.05), polygon(O, -0.06, -0.24, 0.06, -0.24, 0.0, -0.14),
        detail="a white belly", can="eat",
    ),
}  # fmt: skip

PEOPLE = {
    "man": kind(
        "man|guy|person", "person", "walk",
        box(K, -0.13, 0.16, -0.02, 0.5), box(K, 0.02, 0.16, 0.13, 0.5), box(M, -0.17, -0.2, 0.17, 0.2),
        box(M, -0.27, -0.18, -0.17, 0.08), box(M, 0.17, -0.18, 0.27, 0.08), ellipse(P, -0.22, 0.11, 0.05, 0.05),
        ellipse(P, 0.22, 0.11, 0.05, 0.05), ellipse(P, 0.0, -0.34, 0.14, 0.15),
        ellipse(N, 0.0, -0.39, 0.15, 0.11, 180, 360), detail="black trousers", can="eat push",
    ),
    "woman": kind(
        "woman|lady|person", "person", "walk",
        ellipse(N, 0.0, -0.28, 0.19, 0.22), box(P, -0.1, 0.3, -0.03, 0.5), box(P, 0.03, 0.3, 0.1, 0.5),
        polygon(M, -0.11, -0.2, 0.11, -0.2, 0.27, 0.34, -0.27, 0.34),
        polygon(P, -0.12, -0.18, -0.28, 0.08, -0.22, 0.12, -0.1, -0.06),
        polygon(P, 0.12, -0.18, 0.28, 0.08, 0.22, 0.12, 0.1, -0.06), ellipse(P, 0.0, -0.32, 0.13, 0.14),
        detail="brown hair", can="eat push",
    ),
    "robot": kind(
        "robot", "machine", "walk",
        box(A, -0.02, -0.5, 0.02, -0.36), ellipse(R, 0.0, -0.47, 0.05, 0.04), box(M, -0.22, -0.36, 0.22, -0.06),
        box(M, -0.28, -0.02, 0.28, 0.3), box(A, -0.42, 0.0, -0.3, 0.24), box(A, 0.3, 0.0, 0.42, 0.24),
        box(A, -0.2, 0.3, -0.06, 0.5), box(A, 0.06, 0.3, 0.2, 0.5), box(GLOW, -0.15, -0.28, -0.04, -0.17),
        box(GLOW, 0.04, -0.28, 0.15, -0.17), box(S, -0.14, 0.06, 0.14, 0.2), detail="square eyes", can="light push",
    ),
    "ghost": kind(
        "ghost|spook", "figure", "fly",
        polygon(M, -0.32, -0.1, 0.32, -0.1, 0.32, 0.48, 0.16, 0.34, 0.0, 0.48, -0.16, 0.34, -0.32, 0.48),
        ellipse(M, 0.0, -0.12, 0.32, 0.36), *eye(-0.12, -0.16, 0.09), *eye(0.12, -0.16, 0.09),
        ellipse(K, 0.0, 0.06, 0.08, 0.1), detail="a round mouth", can="eat",
    ),
    "hand": kind(
        "hand", "hand", "move",
        box(M, -0.2, -0.5, 0.2, -0.2), box(W, -0.22, -0.24, 0.22, -0.16), box(P, -0.2, -0.17, 0.2, 0.14),
        *(box(P, x, 0.12, x + 0.09, 0.46 - abs(x + 0.05) * 0.5) for x in (-0.2, -0.095, 0.01, 0.115)),
        polygon(P, 0.18, -0.1, 0.36, 0.08, 0.3, 0.24, 0.16, 0.1), detail="a sleeve", can="pick",
    ),
    "crane": kind(
        "claw|gripper", "machine", "move",
        box(A, -0.05, -0.5, 0.05, -0.14), box(M, -0.24, -0.18, 0.24, 0.04),
        polygon(S, -0.24, 0.02, -0.4, 0.24, -0.26, 0.48, -0.18, 0.44, -0.28, 0.24, -0.12, 0.04),
        polygon(S, 0.24, 0.02, 0.4, 0.24, 0.26, 0.48, 0.18, 0.44, 0.28, 0.24, 0.12, 0.04), detail="two hooks",
        can="pick",
    ),
}  # fmt: skip

KINDS: dict[str, Kind] = {**VEHICLES, **ANIMALS, **PEOPLE, **TOYS, **HOUSEHOLD, **NATURE}
