"""Order an endless stream over a source, as a function of seed and position alone.

Position p belongs to epoch p // N, and every epoch holds each of the N samples once. An epoch's order: the groups of
the source (its tars) are permuted, neighbours are joined to blocks of at least `mix` samples, and the samples of a
block are permuted. There is no shuffle buffer, so nothing has to be stored or read again to resume at a position.
The cost: samples mix within a block only, and every rank and worker opens the tars of the block that is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pseudocap.errors import ConfigError, DataError

MIX = 65_536
# The number after the seed is the purpose of the random numbers, so that no two share them (batches.py has 3, 4,
# mixture.py 5).
_GROUPS, _WITHIN = 1, 2


class Order:
    """Map positions to epoch and index in the source: `at`. `groups` are the sizes of what lies together."""

    def __init__(self, groups: Sequence[int] | np.ndarray, *, seed: int | Sequence[int], mix: int = MIX) -> None:
        sizes = np.asarray(groups, np.int64)
        self.total = int(sizes.sum())
        if self.total < 1:
            raise DataError("a stream needs at least one sample, and its source has none")
        if mix < 1:
            raise ConfigError(f"mix is {mix} and must be at least 1 sample")
        self._seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self._mix = mix
        self._sizes = sizes
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._epochs: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # the last one alone
        self._blocks: dict[tuple[int, int], tuple[int, np.ndarray]] = {}  # likewise

    def at(self, position: int) -> tuple[int, int]:
        """Return the epoch of a position, and the index of its sample."""
        number, offset = divmod(position, self.total)
        if number not in self._epochs:
            self._epochs = {number: self._plan(number)}
        groups, ends, blocks = self._epochs[number]
        which = int(np.searchsorted(blocks, offset, side="right"))
        if (number, which) not in self._blocks:
            start = int(blocks[which - 1]) if which else 0
            generator = np.random.default_rng([*self._seed, _WITHIN, number, which])
            self._blocks = {(number, which): (start, generator.permutation(int(blocks[which]) - start))}
        start, order = self._blocks[number, which]
        slot = start + int(order[offset - start])
        row = int(np.searchsorted(ends, slot, side="right"))
        group = int(groups[row])
        return number, int(self._starts[group] + slot - (ends[row] - self._sizes[group]))

    def _plan(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the groups in this epoch's order, where each of them ends in the epoch, and where each block ends."""
        groups = np.random.default_rng([*self._seed, _GROUPS, number]).permutation(np.flatnonzero(self._sizes))
        ends = np.cumsum(self._sizes[groups])
        blocks, start = [], 0
        while start < self.total:
            last = min(int(np.searchsorted(ends, start + self._mix)), len(ends) - 1)
            start = int(ends[last])
            blocks.append(start)
        return groups, ends, np.asarray(blocks)


def generator_fingerprint() -> str:
    """Hash what NumPy's generator makes of a seed here: it may change with NumPy's version, and every order with it."""
    return hashlib.sha256(np.random.default_rng([0, 1, 2]).permutation(1000).tobytes()).hexdigest()[:16]
