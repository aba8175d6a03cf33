"""Order an endless stream over a source, as a function of seed and position alone.

Position p belongs to epoch p // N, and every epoch holds each of the N samples once. An epoch's order: the groups of
the source (its tars) are permuted, neighbours are joined to blocks of at least `mix` samples, and the samples of a
block are permuted. There is no shuffle buffer, so nothing has to be stored or read again to resume at a position.
The cost: samples mix within a block only, and every rank and worker opens the tars of the block that is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pseudocap.errors import ConfigError, DataError

MIX = 65_536
# The number after the seed is the purpose of the random numbers, so that no two share them (batches.py has 3, 4,
# mixture.py 5).
_GROUPS, _WITHIN = 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Epoch:
    """Hold `groups` in this epoch's order, where each of them ends in the epoch, and where each block ends."""

    number: int
    groups: np.ndarray
    ends: np.ndarray
    blocks: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    epoch: int
    number: int
    start: int
    order: np.ndarray


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
        self._epoch: _Epoch | None = None
        self._block: _Block | None = None

    def at(self, position: int) -> tuple[int, int]:
        """Return the epoch of a position, and the index of its sample."""
        number, offset = divmod(position, self.total)
        if self._epoch is None or self._epoch.number != number:
            self._epoch = self._plan(number)
        epoch = self._epoch
        which = int(np.searchsorted(epoch.blocks, offset, side="right"))
        block = self._block
        if block is None or (block.epoch, block.number) != (number, which):
            start = int(epoch.blocks[which - 1]) if which else 0
            generator = np.random.default_rng([*self._seed, _WITHIN, number, which])
            order = generator.permutation(int(epoch.blocks[which]) - start)
            block = self._block = _Block(epoch=number, number=which, start=start, order=order)
        slot = block.start + int(block.order[offset - block.start])
        row = int(np.searchsorted(epoch.ends, slot, side="right"))
        group = int(epoch.groups[row])
        return number, int(self._starts[group] + slot - (epoch.ends[row] - self._sizes[group]))

    def _plan(self, number: int) -> _Epoch:
        groups = np.random.default_rng([*self._seed, _GROUPS, number]).permutation(np.flatnonzero(self._sizes))
        ends = np.cumsum(self._sizes[groups])
        blocks, start = [], 0
        while start < self.total:
            last = min(int(np.searchsorted(ends, start + self._mix)), len(ends) - 1)
            start = int(ends[last])
            blocks.append(start)
        return _Epoch(number=number, groups=groups, ends=ends, blocks=np.asarray(blocks))


def generator_fingerprint() -> str:
    """Hash what NumPy's generator makes of a seed here: it may change with NumPy's version, and every order with it."""
    return hashlib.sha256(np.random.default_rng([0, 1, 2]).permutation(1000).tobytes()).hexdigest()[:16]
