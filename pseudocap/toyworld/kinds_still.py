"""Define the kinds of toys, things of a house and things outdoors, as `kinds.py` does vehicles, animals and people."""

from __future__ import annotations

from pseudocap.toyworld.roles import GLOW, PANE, WATER, A, G, H, K, L, M, N, O, R, S, W, Y
from pseudocap.toyworld.shapes import box, ellipse, kind, polygon, star

TOYS = {
    "ball": kind(
        "ball", "toy", "roll",
        ellipse(M, 0.0, 0.0, 0.48, 0.48), ellipse(W, 0.0, 0.0, 0.47, 0.13, turn=25),
        ellipse(L, -0.18, -0.24, 0.1, 0.08), detail="a white band",
    ),
    "cube": kind(
        "cube|block", "toy", "slide",
        box(M, -0.48, -0.22, 0.22, 0.48), polygon(L, -0.48, -0.22, -0.24, -0.46, 0.46, -0.46, 0.22, -0.22),
        polygon(S, 0.22, -0.22, 0.46, -0.46, 0.46, 0.24, 0.22, 0.48), detail="sharp edges",
    ),
    "star": kind(
        "star", "shape", "slide",
        star(M, 0.0, 0.03, 0.5, 0.22, 5), star(L, 0.0, 0.03, 0.22, 0.1, 5), detail="five points",
    ),
    "heart": kind(
        "heart", "shape", "slide",
        ellipse(M, -0.22, -0.16, 0.25, 0.25), ellipse(M, 0.22, -0.16, 0.25, 0.25),
        polygon(M, -0.45, -0.06, 0.0, 0.48, 0.45, -0.06, 0.0, -0.2), ellipse(L, -0.24, -0.22, 0.1, 0.08),
    ),
    "balloon": kind(
        "balloon", "toy", "fly",
        box(K, -0.015, 0.22, 0.015, 0.5), polygon(S, -0.07, 0.26, 0.07, 0.26, 0.0, 0.16),
        ellipse(M, 0.0, -0.12, 0.29, 0.36), ellipse(L, -0.12, -0.26, 0.07, 0.1), detail="a thin string",
    ),
    "kite": kind(
        "kite", "toy", "fly",
        polygon(M, 0.0, -0.5, 0.34, -0.14, 0.0, 0.26, -0.34, -0.14), polygon(S, 0.0, -0.5, 0.34, -0.14, 0.0, -0.14),
        polygon(S, 0.0, 0.26, 0.0, -0.14, -0.34, -0.14), polygon(R, -0.1, 0.3, 0.1, 0.4, 0.1, 0.3, -0.1, 0.4),
        polygon(Y, -0.1, 0.4, 0.1, 0.5, 0.1, 0.4, -0.1, 0.5), detail="a tail",
    ),
    "drum": kind(
        "drum", "toy", "slide",
        box(M, -0.4, -0.2, 0.4, 0.34), ellipse(M, 0.0, 0.34, 0.4, 0.13), ellipse(W, 0.0, -0.2, 0.4, 0.15),
        polygon(Y, -0.4, -0.1, -0.2, 0.4, -0.14, 0.42, -0.34, -0.08),
        polygon(Y, 0.4, -0.1, 0.2, 0.4, 0.14, 0.42, 0.34, -0.08), detail="a white top",
    ),
    "snowman": kind(
        "snowman", "figure", "slide",
        ellipse(W, 0.0, 0.24, 0.28, 0.26), ellipse(W, 0.0, -0.12, 0.2, 0.19), box(M, -0.2, -0.34, 0.2, -0.27),
        box(M, -0.13, -0.5, 0.13, -0.3), polygon(O, 0.0, -0.14, 0.2, -0.1, 0.0, -0.07),
        box(S, -0.18, 0.0, 0.18, 0.06), ellipse(K, -0.07, -0.18, 0.03, 0.03), ellipse(K, 0.07, -0.18, 0.03, 0.03),
        detail="a hat",
    ),
}  # fmt: skip

HOUSEHOLD = {
    "box": kind(
        "box|crate", "container", "slide",
        box(K, -0.38, -0.16, 0.38, 0.0), box(M, -0.42, -0.08, 0.42, 0.48), box(S, -0.06, -0.08, 0.06, 0.48),
        box(S, -0.47, -0.24, 0.47, -0.06, opens=(0.16, -0.24)), detail="a lid", can="open",
    ),
    "gift": kind(
        "gift|present", "container", "slide",
        box(K, -0.36, -0.16, 0.36, 0.0), box(M, -0.4, -0.08, 0.4, 0.48), box(Y, -0.07, -0.08, 0.07, 0.48),
        box(M, -0.45, -0.22, 0.45, -0.04, opens=(-0.16, -0.24)), ellipse(Y, -0.12, -0.32, 0.13, 0.09, turn=25),
        ellipse(Y, 0.12, -0.32, 0.13, 0.09, turn=-25), detail="a yellow ribbon", can="open",
    ),
    "chest": kind(
        "chest|trunk", "container", "slide",
        box(K, -0.4, -0.2, 0.4, 0.0), box(M, -0.46, 0.0, 0.46, 0.44), box(A, -0.34, 0.0, -0.26, 0.44),
        box(A, 0.26, 0.0, 0.34, 0.44), polygon(S, -0.46, 0.0, -0.4, -0.26, 0.4, -0.26, 0.46, 0.0, opens=(0.0, -0.26)),
        box(Y, -0.07, 0.02, 0.07, 0.18), detail="a golden lock", can="open",
    ),
    "cup": kind(
        "cup|mug", "vessel", "slide",
        ellipse(M, 0.3, 0.04, 0.19, 0.22), ellipse(H, 0.3, 0.04, 0.1, 0.13), box(M, -0.38, -0.34, 0.26, 0.42),
        ellipse(K, -0.06, -0.34, 0.32, 0.08), box(L, -0.3, -0.2, -0.22, 0.34), detail="a handle", can="pourer",
    ),
    "bottle": kind(
        "bottle|flask", "vessel", "slide",
        box(M, -0.2, -0.08, 0.2, 0.5), polygon(M, -0.2, -0.06, -0.08, -0.24, 0.08, -0.24, 0.2, -0.06),
        box(S, -0.08, -0.4, 0.08, -0.2), box(K, -0.1, -0.5, 0.1, -0.38), box(W, -0.2, 0.08, 0.2, 0.3),
        detail="a white label", can="pourer",
    ),
    "jug": kind(
        "jug|pitcher", "vessel", "slide",
        ellipse(M, -0.3, 0.06, 0.18, 0.24), ellipse(H, -0.3, 0.06, 0.09, 0.14),
        polygon(M, -0.24, -0.4, 0.42, -0.46, 0.26, -0.2, 0.3, 0.46, -0.28, 0.46), box(L, -0.16, -0.2, -0.08, 0.38),
        detail="a spout", can="pourer",
    ),
    "kettle": kind(
        "kettle|teapot", "vessel", "slide",
        ellipse(M, -0.34, 0.1, 0.14, 0.18), ellipse(H, -0.34, 0.1, 0.07, 0.1),
        polygon(S, 0.2, 0.26, 0.42, -0.18, 0.5, -0.14, 0.32, 0.38), ellipse(M, -0.04, 0.16, 0.32, 0.3),
        box(S, -0.2, -0.18, 0.12, -0.1), ellipse(K, -0.04, -0.22, 0.06, 0.06), detail="a spout", can="pourer",
    ),
    "glass": kind(
        "glass|tumbler", "vessel", "slide",
        polygon(PANE, -0.32, -0.44, 0.32, -0.44, 0.26, 0.46, -0.26, 0.46),
        box(WATER, -0.25, -0.34, 0.25, 0.42, level=True), box(M, -0.28, 0.38, 0.28, 0.5),
        box(W, -0.24, -0.36, -0.18, 0.34), detail="a thick base", can="receiver",
    ),
    "jar": kind(
        "jar|tank", "vessel", "slide",
        box(PANE, -0.4, -0.32, 0.4, 0.48), box(WATER, -0.36, -0.26, 0.36, 0.44, level=True),
        box(M, -0.42, -0.42, 0.42, -0.3), box(W, -0.33, -0.26, -0.26, 0.38), detail="a thick rim", can="receiver",
    ),
    "lamp": kind(
        "lamp|light", "piece of furniture", "slide",
        box(A, -0.04, -0.06, 0.04, 0.44), box(A, -0.22, 0.42, 0.22, 0.5),
        polygon(M, -0.18, -0.46, 0.18, -0.46, 0.36, -0.08, -0.36, -0.08), ellipse(GLOW, 0.0, -0.06, 0.2, 0.17),
        detail="a shade", can="light",
    ),
    "chair": kind(
        "chair|seat", "piece of furniture", "slide",
        box(M, -0.34, -0.5, -0.2, 0.5), box(M, -0.34, 0.02, 0.34, 0.16), box(S, 0.2, 0.16, 0.32, 0.5),
        box(S, -0.2, -0.4, -0.12, 0.02), detail="a tall back",
    ),
    "table": kind(
        "table|desk", "piece of furniture", "slide",
        box(S, -0.42, -0.14, -0.3, 0.48), box(S, 0.3, -0.14, 0.42, 0.48), box(M, -0.5, -0.26, 0.5, -0.1),
        detail="two legs",
    ),
    "clock": kind(
        "clock|alarm clock", "piece of furniture", "slide",
        polygon(S, -0.34, 0.5, -0.16, 0.2, -0.04, 0.3), polygon(S, 0.34, 0.5, 0.16, 0.2, 0.04, 0.3),
        ellipse(S, -0.26, -0.36, 0.16, 0.12, turn=-35), ellipse(S, 0.26, -0.36, 0.16, 0.12, turn=35),
        ellipse(M, 0.0, 0.04, 0.4, 0.4), ellipse(W, 0.0, 0.04, 0.3, 0.3), box(K, -0.03, -0.18, 0.03, 0.07),
        box(K, -0.03, 0.01, 0.18, 0.07), detail="two bells",
    ),
    "umbrella": kind(
        "umbrella|parasol", "tool", "slide",
        box(N, -0.025, -0.4, 0.025, 0.46), box(N, -0.025, 0.4, 0.14, 0.46), ellipse(M, 0.0, 0.0, 0.5, 0.42, 180, 360),
        ellipse(S, 0.0, 0.0, 0.18, 0.42, 180, 360), detail="a wooden stick",
    ),
    "key": kind(
        "key", "tool", "slide",
        box(M, -0.1, -0.06, 0.5, 0.06), box(M, 0.28, 0.0, 0.36, 0.2), box(M, 0.42, 0.0, 0.5, 0.24),
        ellipse(M, -0.26, 0.0, 0.24, 0.24), ellipse(H, -0.28, 0.0, 0.1, 0.1),
    ),
    "hammer": kind(
        "hammer", "tool", "slide",
        box(N, -0.06, -0.2, 0.06, 0.5), box(M, -0.34, -0.46, 0.3, -0.18),
        polygon(S, 0.28, -0.44, 0.46, -0.32, 0.28, -0.2), detail="a wooden handle",
    ),
    "hat": kind(
        "hat|top hat", "piece of clothing", "slide",
        box(M, -0.26, -0.4, 0.26, 0.3), box(M, -0.48, 0.24, 0.48, 0.38), box(R, -0.26, 0.1, 0.26, 0.24),
        detail="a red band",
    ),
}  # fmt: skip

NATURE = {
    "tree": kind(
        "tree", "plant", "slide",
        box(N, -0.08, 0.1, 0.08, 0.5), ellipse(M, -0.2, 0.0, 0.24, 0.2), ellipse(M, 0.2, 0.0, 0.24, 0.2),
        ellipse(M, 0.0, -0.22, 0.28, 0.27), ellipse(L, -0.1, -0.28, 0.09, 0.07), detail="a brown trunk",
    ),
    "flower": kind(
        "flower|blossom", "plant", "slide",
        box(G, -0.03, 0.0, 0.03, 0.5), ellipse(G, 0.15, 0.3, 0.14, 0.06, turn=-30),
        *(
            ellipse(M, dx, dy - 0.18, 0.15, 0.15) for dx, dy in
            ((0, -0.18), (0.18, -0.04), (0.11, 0.16), (-0.11, 0.16), (-0.18, -0.04))
        ),
        ellipse(Y, 0.0, -0.18, 0.12, 0.12), detail="a yellow centre",
    ),
    "cactus": kind(
        "cactus", "plant", "slide",
        box(M, -0.13, -0.44, 0.13, 0.3), ellipse(M, 0.0, -0.42, 0.13, 0.08), box(M, -0.4, -0.14, -0.26, 0.1),
        box(M, -0.4, 0.02, -0.1, 0.13), box(M, 0.26, -0.26, 0.4, 0.0), box(M, 0.1, -0.08, 0.4, 0.03),
        polygon(O, -0.24, 0.24, 0.24, 0.24, 0.17, 0.5, -0.17, 0.5), detail="an orange pot",
    ),
    "mushroom": kind(
        "mushroom|toadstool", "plant", "slide",
        polygon(W, -0.13, 0.0, 0.13, 0.0, 0.18, 0.48, -0.18, 0.48), ellipse(M, 0.0, 0.04, 0.46, 0.48, 180, 360),
        ellipse(W, -0.2, -0.14, 0.09, 0.09), ellipse(W, 0.14, -0.24, 0.09, 0.09), ellipse(W, 0.28, -0.04, 0.06, 0.05),
        detail="white spots",
    ),
    "apple": kind(
        "apple", "fruit", "roll",
        ellipse(M, -0.14, 0.08, 0.3, 0.38), ellipse(M, 0.14, 0.08, 0.3, 0.38), box(N, -0.03, -0.48, 0.03, -0.2),
        ellipse(G, 0.16, -0.38, 0.15, 0.07, turn=-25), ellipse(L, -0.2, -0.06, 0.08, 0.1), detail="a green leaf",
    ),
    "pear": kind(
        "pear", "fruit", "roll",
        ellipse(M, 0.0, 0.18, 0.32, 0.31), ellipse(M, 0.0, -0.14, 0.19, 0.24), box(N, -0.03, -0.5, 0.03, -0.32),
        ellipse(L, -0.14, 0.1, 0.07, 0.1), detail="a short stem",
    ),
    "carrot": kind(
        "carrot", "vegetable", "slide",
        *(polygon(G, 0.0, -0.2, x, -0.5, x + 0.1, -0.48, 0.06, -0.2) for x in (-0.22, -0.05, 0.12)),
        polygon(M, -0.2, -0.22, 0.2, -0.22, 0.02, 0.5, -0.02, 0.5), box(S, -0.16, -0.02, 0.04, 0.02),
        box(S, -0.04, 0.14, 0.1, 0.18), detail="green leaves",
    ),
    "cake": kind(
        "cake", "dessert", "slide",
        box(R, -0.03, -0.46, 0.03, -0.24), ellipse(Y, 0.0, -0.48, 0.05, 0.06), box(M, -0.42, 0.1, 0.42, 0.46),
        box(M, -0.3, -0.24, 0.3, 0.12), box(W, -0.3, -0.26, 0.3, -0.16), box(W, -0.42, 0.08, 0.42, 0.18),
        detail="a candle",
    ),
    "ice cream": kind(
        "ice cream|ice cream cone", "dessert", "slide",
        polygon(N, -0.22, 0.0, 0.22, 0.0, 0.0, 0.5), ellipse(M, -0.12, -0.1, 0.18, 0.18),
        ellipse(M, 0.12, -0.1, 0.18, 0.18), ellipse(L, 0.0, -0.28, 0.18, 0.18), detail="two scoops",
    ),
    "house": kind(
        "house|home", "building", "slide",
        box(M, -0.38, -0.06, 0.38, 0.5), polygon(S, -0.5, -0.04, 0.0, -0.5, 0.5, -0.04),
        box(N, 0.06, 0.16, 0.26, 0.5), box(GLOW, -0.28, 0.1, -0.06, 0.3), detail="a window", can="light",
    ),
    "castle": kind(
        "castle|fort", "building", "slide",
        box(M, -0.48, -0.34, -0.24, 0.5), box(M, 0.24, -0.34, 0.48, 0.5), box(M, -0.3, -0.06, 0.3, 0.5),
        *(
            box(S, x, y, x + 0.09, y + 0.1) for x, y in
            ((-0.48, -0.44), (-0.33, -0.44), (0.24, -0.44), (0.39, -0.44), (-0.14, -0.16), (0.05, -0.16))
        ),
        box(GLOW, -0.4, -0.22, -0.32, -0.06), box(GLOW, 0.32, -0.22, 0.4, -0.06),
        ellipse(N, 0.0, 0.5, 0.13, 0.28, 180, 360), detail="two towers", can="light",
    ),
    "sun": kind(
        "sun", "thing", "slide",
        star(M, 0.0, 0.0, 0.5, 0.3, 9), ellipse(L, 0.0, 0.0, 0.28, 0.28), detail="bright rays",
    ),
    "moon": kind(
        "moon|crescent", "thing", "slide",
        ellipse(M, -0.04, 0.0, 0.42, 0.46), ellipse(H, 0.18, -0.06, 0.34, 0.38), ellipse(S, -0.3, 0.06, 0.06, 0.06),
    ),
    "cloud": kind(
        "cloud", "thing", "fly",
        ellipse(M, -0.26, 0.08, 0.23, 0.19), ellipse(M, 0.26, 0.08, 0.23, 0.19), ellipse(M, 0.0, -0.06, 0.27, 0.26),
        box(M, -0.26, 0.06, 0.26, 0.27), ellipse(L, -0.06, -0.12, 0.14, 0.1),
    ),
}  # fmt: skip
