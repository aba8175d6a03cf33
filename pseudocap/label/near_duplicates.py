"""Mark clips that look like an earlier clip, in the same video or another: `near-duplicate:VIDEO#START-END`.

Clips are compared by the cosine of their vectors, all with all, in products of blocks. The first of several is kept,
and only what was kept is compared with, so that a chain of small changes is not one duplicate. Clips that another
filter objects to neither mark nor are marked: what they look like would be lost with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pseudocap.errors import ConfigError
from pseudocap.rows import CaptionRow, stretch_id
from pseudocap.types import Progress, Pseudolabel

NEAR = "near-duplicate"
BLOCK = 1024


def clip_id(label: Pseudolabel) -> str:
    """Return the name of a label's clip: its video, and its times to the millisecond."""
    return stretch_id(label.clip.source, label.clip.start, label.clip.end)


def kind_of(verdict: str) -> str:
    """Return what a verdict is counted as: without the clip that it names, or the score."""
    return next((kind for kind in (NEAR, "round-trip") if verdict.startswith(f"{kind}:")), verdict)


def compared(labels: Iterable[Pseudolabel]) -> list[Pseudolabel]:
    """Return a label of each clip that no other filter objects to, in their order."""
    kept = (label for label in labels if not label.failed and not _others(label.verdicts))
    return list({clip_id(label): label for label in kept}.values())


def compared_rows(rows: Iterable[CaptionRow]) -> dict[str, CaptionRow]:
    """Return a row of each video or stretch that has a caption and that no other filter objects to, by its name."""
    return {row.id: row for row in rows if replace(row, verdicts=_others(row.verdicts)).usable}


def near_duplicates(
    vectors: np.ndarray, threshold: float, *, block: int = BLOCK, progress: Progress | None = None
) -> np.ndarray:
    """Return for each vector [N,E] the number of the kept vector that it is most like, -1 where it is kept itself.

    Beside the vectors it takes a copy of them at length one, and blocks of `block` vectors and their similarities.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold:g} and must be above 0 and at most 1")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    of = np.full(len(unit), -1)
    for first in range(0, len(unit), block):
        new = unit[first : first + block]
        best, likest = _likest(new, unit, np.flatnonzero(of[:first] < 0), block)
        within = new @ new.T
        for row in range(len(new)):  # each may be like one that was kept just before it
            here = np.flatnonzero(of[first : first + row] < 0)
            if len(here) and within[row, here].max() > best[row]:
                best[row], likest[row] = within[row, here].max(), first + here[within[row, here].argmax()]
            if best[row] >= threshold:
                of[first + row] = likest[row]
        if progress is not None:
            progress(first + len(new), len(unit))
    return of


def _likest(new: np.ndarray, unit: np.ndarray, kept: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest cosine of each new vector with those that are kept, and with which; the first of equals."""
    best, likest = np.full(len(new), -np.inf, np.float32), np.full(len(new), -1)
    for start in range(0, len(kept), block):
        some = kept[start : start + block]
        alike = new @ unit[some].T
        closest, which = alike.max(axis=1), some[alike.argmax(axis=1)]
        closer = closest > best
        best[closer], likest[closer] = closest[closer], which[closer]
    return best, likest


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkNearDuplicates:
    """Rewrite labels with the verdict of their clip, in place of one from before; `of` maps the compared clips to what
    they look like, or to nothing. Others stay as they are."""

    of: Mapping[str, str]
    settings: Mapping[str, object]

    def rewrite(self, labels: Sequence[Pseudolabel]) -> list[list[Pseudolabel]]:
        return [[self._marked(label)] for label in labels]

    def _marked(self, label: Pseudolabel) -> Pseudolabel:
        return label if label.failed else replace(label, verdicts=marked(clip_id(label), label.verdicts, self.of))


def marked(name: str, verdicts: Sequence[str], of: Mapping[str, str]) -> tuple[str, ...]:
    """Return the verdicts of a clip after the comparison: as they were where it was not compared."""
    if name not in of:
        return tuple(verdicts)
    others = _others(verdicts)
    return (f"{NEAR}:{of[name]}",) if of[name] and not others else others


def _others(verdicts: Iterable[str]) -> tuple[str, ...]:
    return tuple(verdict for verdict in verdicts if kind_of(verdict) != NEAR)
