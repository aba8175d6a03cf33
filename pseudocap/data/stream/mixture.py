"""Draw the stream of each step of a rank, as a function of (seed, rank, step).

Every batch comes from one stream. The papers have two: images with p=0.95 and video with p=0.05, drawn by each rank for
itself, with image batches 8 times larger, so that about 99.3 in 100 samples are images. All ranks drawing the same
stream at each step (`synchronised`) was unstable there; it is here to be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pseudocap.errors import ConfigError, nearest
from pseudocap.types import Modality

MODALITIES: tuple[Modality, ...] = ("image", "video")
PROBABILITIES: Mapping[str, float] = {"image": 0.95, "video": 0.05}
IMAGE_BATCH_FACTOR = 8
_CHUNK = 4096
_DRAWING = 5  # what the random numbers are for, beside 1 to 4 in order.py and batches.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """Hold what a step draws: batch `number` of a stream, `size` samples."""

    stream: str
    number: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Count how much of a stream a rank has drawn."""

    batches: int
    samples: int


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Number each stream, for its seed: image is 0, video 1, others follow in their order."""
    everyone = (*MODALITIES, *(name for name in names if name not in MODALITIES))
    return {name: number for number, name in enumerate(everyone)}


class Mixture:
    """Draw the steps of one rank from named streams.

    Args:
        names: the streams, in the order of their numbers
        batch_size: samples of a batch
        probabilities: of each stream; the papers' for images and video
        image_batch_factor: how many times as large a batch of the stream "image" is
        batch_factors: the same for any stream
        synchronised: all ranks draw the same stream at each step
        seed: of the draws
        rank: whose draws
    """

    def __init__(
        self,
        names: Sequence[str] = MODALITIES,
        *,
        batch_size: int,
        probabilities: Mapping[str, float] | None = None,
        image_batch_factor: int = IMAGE_BATCH_FACTOR,
        batch_factors: Mapping[str, int] | None = None,
        synchronised: bool = False,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        factors = dict(batch_factors or {})
        for name in factors:
            _refuse_unknown("batch_factors", name, names)
        counts = {"batch_size": batch_size, "image_batch_factor": image_batch_factor}
        for name, value in (
            counts | {f"the batch factor of {name}": factor for name, factor in factors.items()}
        ).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number above 0, not {value!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed must be a whole number from 0 on, not {seed!r}")
        given = _checked(PROBABILITIES if probabilities is None else probabilities, names)
        self.probabilities = {name: given[name] for name in names if given[name] > 0}
        factors = {"image": image_batch_factor, **factors}
        self.sizes = {name: batch_size * factors.get(name, 1) for name in names}
        self.synchronised = synchronised
        self._names = tuple(self.probabilities)
        self._bounds = np.cumsum(list(self.probabilities.values()))[:-1]  # the last stream has whatever is above
        self._key = (seed, 0 if synchronised else rank)
        self._before = [np.zeros(len(self._names), np.int64)]  # batches of each stream before each chunk of draws
        self._chunk: tuple[int, np.ndarray] | None = None

    def draw(self, step: int) -> Draw:
        """Return what the step (from 0) draws."""
        before = self._batches(step)
        which = int(np.argmax(self._batches(step + 1) - before))
        name = self._names[which]
        return Draw(stream=name, number=int(before[which]), size=self.sizes[name])

    def counts(self, steps: int) -> dict[str, Drawn]:
        """Return how much the first `steps` steps draw of each stream."""
        batches = dict(zip(self._names, self._batches(steps).tolist(), strict=True))
        return {name: Drawn(batches=count, samples=count * self.sizes[name]) for name, count in batches.items()}

    def _batches(self, steps: int) -> np.ndarray:
        """Return how many batches of each stream the first steps draw."""
        if steps < 0:
            raise ConfigError(f"step is {steps} and must not be negative")
        number, rest = divmod(steps, _CHUNK)
        while len(self._before) <= number:
            self._before.append(self._before[-1] + self._running(len(self._before) - 1)[-1])
        return self._before[number] + self._running(number)[rest - 1] if rest else self._before[number]

    def _running(self, number: int) -> np.ndarray:
        """Return the running count of each stream's batches within a chunk of draws [steps, streams]."""
        if self._chunk is None or self._chunk[0] != number:
            uniform = np.random.default_rng([*self._key, _DRAWING, number]).random(_CHUNK)
            drawn = np.searchsorted(self._bounds, uniform, side="right")
            self._chunk = number, np.cumsum(drawn[:, None] == np.arange(len(self._names)), axis=0)
        return self._chunk[1]


def _refuse_unknown(setting: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        known = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        raise ConfigError(f"{setting} are of {known}, not of {name!r}{nearest(str(name), names)}")


def _checked(probabilities: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    for name, value in probabilities.items():
        _refuse_unknown("probabilities", name, names)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(f"the probability of {name} must be a number from 0 to 1, not {value!r}")
    given = {name: float(probabilities.get(name, 0.0)) for name in names}
    if not math.isclose(sum(given.values()), 1.0, abs_tol=1e-6):
        raise ConfigError(f"probabilities must sum to 1, not to {sum(given.values()):g} ({given})")
    return given


ModalityMixture = Mixture  # the name of before there were other streams than images and video
