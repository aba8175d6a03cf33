"""Hold a rater's judgement of a pair, and the blind order in which each rater meets the pairs.

The order of the pairs and the side on which a caption stands are functions of (seed, rater, pair), so that a reload, a
second tab and a restarted server all show the same, and a report can be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from pseudocap.errors import InputError, nearest
from pseudocap.label.pages.names import checked_name

Caption = Literal["pseudolabel", "asr"]
Side = Literal["left", "right"]
Better = Literal["pseudolabel", "asr", "tie"]
# Every text is exactly one of these. The first two refer to the video.
JudgementKind = Literal["correct", "wrong", "intro", "chit-chat"]

KINDS: tuple[JudgementKind, ...] = get_args(JudgementKind)
BETTER: tuple[Better, ...] = get_args(Better)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPair:
    """Hold a clip of a video file and the two texts that are compared; of a mined caption, which is judged alone, `asr`
    is empty."""

    id: str
    source: str
    start: float
    end: float
    pseudolabel: str
    asr: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """Hold one rater's answer to one pair. `left` is the caption that stood on the left."""

    rater: str
    pair: str
    better: Better
    pseudolabel: JudgementKind
    asr: JudgementKind
    left: Caption


def left_of(pair: str, *, seed: int, rater: str) -> Caption:
    """Return which caption of a pair stands on the left for this rater."""
    return "pseudolabel" if _digest("side", seed, rater, pair)[0] & 1 else "asr"


def order_of(pairs: Iterable[str], *, seed: int, rater: str) -> list[str]:
    """Return the pairs' ids in the order in which this rater meets them."""
    return sorted(pairs, key=lambda pair: _digest("order", seed, rater, pair))


def judgement_of_sides(
    *, rater: str, pair: str, seed: int, better: Side | Literal["tie"], left: JudgementKind, right: JudgementKind
) -> Judgement:
    """Turn a rater's answer about the left and the right text into a judgement of the captions that they were."""
    on_left = left_of(pair, seed=seed, rater=rater)
    pseudolabel, asr = (left, right) if on_left == "pseudolabel" else (right, left)
    other: Caption = "asr" if on_left == "pseudolabel" else "pseudolabel"
    winner: Better = "tie" if better == "tie" else on_left if better == "left" else other
    return Judgement(rater=rater, pair=pair, better=winner, pseudolabel=pseudolabel, asr=asr, left=on_left)


def judgement_alone(*, rater: str, pair: str, aligned: bool) -> Judgement:
    """Return the judgement of a text that stands beside nothing: it is correct where one frame at least is aligned."""
    kind: JudgementKind = "correct" if aligned else "wrong"
    return Judgement(rater=rater, pair=pair, better="tie", pseudolabel=kind, asr="chit-chat", left="pseudolabel")


def sides_of_judgement(judgement: Judgement) -> dict[str, str]:
    """Turn a judgement back into the answer as the page displays it."""
    first = judgement.left == "pseudolabel"
    better = "tie" if judgement.better == "tie" else "left" if judgement.better == judgement.left else "right"
    left, right = (judgement.pseudolabel, judgement.asr) if first else (judgement.asr, judgement.pseudolabel)
    return {"better": better, "left": left, "right": right}


def checked_rater(name: object) -> str:
    """Return a rater's name without the spaces around it; raise an error that states what a name may be."""
    return checked_name(name, field="rater")


def one_of(value: object, known: tuple[str, ...], *, field: str) -> str:
    """Return the value if it is one of the known words."""
    if not isinstance(value, str) or value not in known:
        hint = nearest(value, known) if isinstance(value, str) else ""
        raise InputError(f"{field} is {value!r} and must be one of {', '.join(known)}{hint}")
    return value


def _digest(what: str, seed: int, rater: str, pair: str) -> bytes:
    return hashlib.sha256("\0".join((what, str(seed), rater, pair)).encode()).digest()
