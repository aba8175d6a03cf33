"""Compute batches by number: what a step of training or of an evaluation gets, in whichever worker and order.

Nothing here has state. Batch s of a rank is a function of (seed, rank, ranks, s) and of the data, so a loader
may give any batch to any worker, and resuming at a step means to start there. A sample that cannot be decoded is
replaced by others of its source, drawn from (seed, position): which they are depends on the data only, so a resumed
run replaces it by the same. The price is that these few are seen twice in that epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from pseudocap.data.collate import collate
from pseudocap.data.stream.mixture import Mixture, numbered
from pseudocap.data.stream.order import MIX, Order
from pseudocap.data.stream.sources import Source
from pseudocap.errors import DataError, DecodeError, first_line
from pseudocap.types import Batch, Sample

REPLACEMENTS = 16
# What random numbers are for, beside the order's.
_SAMPLING, _REPLACING = 3, 4
UNDECODABLE = (DataError, DecodeError, OSError)


class BrokenSample(NamedTuple):
    """Record a sample that could not be decoded."""

    name: str
    reason: str


class Delivery(NamedTuple):
    """Hold a worker's result: a batch, None if none of its samples can be decoded, and what failed on the way.

    `fatal` is an error's message: raised in a worker it would arrive as a page of traceback.
    """

    batch: Batch | None
    failures: tuple[BrokenSample, ...]
    fatal: str = ""


class Stream:
    """Draw what one of `ranks` takes from a source, without end; together they take every sample once an epoch.

    `number` is that of the stream among others, so that each has an order of its own; by default its modality's.
    `captions` is how many of a sample's captions are learned at once.
    """

    def __init__(
        self,
        source: Source,
        *,
        seed: int,
        number: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        mix: int = MIX,
        captions: int = 1,
    ) -> None:
        self.source, self._captions = source, captions
        self._seed = (seed, numbered(())[source.modality] if number is None else number)
        self._rank, self._ranks = rank, ranks
        self._order = Order(source.groups, seed=self._seed, mix=mix)

    def take(self, number: int, failures: list[BrokenSample]) -> tuple[Sample, tuple[str, ...]]:
        """Return the sample of this number and the captions that it learns; append what fails to `failures`."""
        position = number * self._ranks + self._rank
        epoch, index = self._order.at(position)
        before = len(failures)
        others = np.random.default_rng([*self._seed, _REPLACING, position]).integers(
            self._order.total, size=REPLACEMENTS
        )
        for candidate in (index, *others.tolist()):
            try:
                return self._sample(epoch, candidate)
            except UNDECODABLE as error:
                failures.append(BrokenSample(self.source.name(candidate), reason_of(error)))
        first = failures[before]
        raise DataError(
            f"{1 + REPLACEMENTS} samples in a row cannot be decoded, {first.name} first ({first.reason}); "
            "is this the right folder, and are its files complete?"
        )

    def _sample(self, epoch: int, index: int) -> tuple[Sample, tuple[str, ...]]:
        """Draw moments, crop and captions as functions of seed, epoch and sample, wherever it is in the order."""
        state = np.random.SeedSequence([*self._seed, _SAMPLING, epoch, index]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        sample = self.source.sample(index, generator)
        generator.manual_seed(int(state[0]))  # the caption must not depend on how many numbers a crop takes
        if self._captions == 1:
            return sample, (sample.captions[int(torch.randint(len(sample.captions), (), generator=generator))],)
        order = torch.randperm(len(sample.captions), generator=generator).tolist()
        return sample, tuple(sample.captions[order[turn % len(order)]] for turn in range(self._captions))


class TrainingBatches(Dataset[Delivery]):
    """Compute the batches of a rank by step: the mixture draws the stream, and that one gives the samples."""

    def __init__(self, streams: Mapping[str, Stream], mixture: Mixture) -> None:
        self.streams = dict(streams)
        self.mixture = mixture

    def __getitem__(self, step: int) -> Delivery:
        draw = self.mixture.draw(step)
        failures: list[BrokenSample] = []
        first = draw.number * draw.size
        try:
            taken = [self.streams[draw.stream].take(number, failures) for number in range(first, first + draw.size)]
            captions = [caption for _, captions in taken for caption in captions]
            batch = collate([sample for sample, _ in taken], captions, step=step)
        except DataError as error:
            return Delivery(None, tuple(failures), fatal=str(error))
        batch.stream = draw.stream
        return Delivery(batch, tuple(failures))


class EvaluationBatches(Dataset[Delivery]):
    """Batch every sample of a source once: rank r of R has r, r + R, ..., in order, the last batch shorter.

    A sample that cannot be decoded has no replacement here: a score covers what was decoded, and reports how much.
    """

    def __init__(self, source: Source, *, batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        self.source = source
        self._batch_size = batch_size
        self._indices = range(rank, sum(source.groups), ranks)

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)

    def __getitem__(self, number: int) -> Delivery:
        failures: list[BrokenSample] = []
        samples: list[Sample] = []
        for index in self._indices[number * self._batch_size : (number + 1) * self._batch_size]:
            try:
                samples.append(self.source.sample(index, None))
            except UNDECODABLE as error:
                failures.append(BrokenSample(self.source.name(index), reason_of(error)))
        if not samples:
            return Delivery(None, tuple(failures))
        return Delivery(collate(samples, [sample.captions[0] for sample in samples]), tuple(failures))


def reason_of(error: BaseException) -> str:
    """Return why a sample cannot be decoded, without the path, which results have no use for."""
    if not isinstance(error, DecodeError):
        return first_line(error)
    return error.problem if error.time is None else f"at {error.time:.3f} s: {error.problem}"
