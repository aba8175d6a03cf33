"""Which modality each step of a rank draws, as a function of (seed, rank, step).

Every batch holds one modality. The papers draw images with p=0.95 and video with p=0.05, each rank for itself, and
make image batches 8 times larger, so of the samples about 99.3 in 100 are images. All ranks drawing the same at each
step (`synchronised`) was unstable there; it is here to be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pseudocap.errors import ConfigError, nearest
from pseudocap.types import Modality

MODALITIES: tuple[Modality, ...] = ("image", "video")
PROBABILITIES: Mapping[Modality, float] = {"image": 0.95, "video": 0.05}
IMAGE_BATCH_FACTOR = 8
_CHUNK = 4096
_DRAWING = 5  # what the random numbers are for, beside 1 to 4 in order.py and streams.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """What a step draws: the batch of this number of its modality, `size` samples."""

    modality: Modality
    number: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """How much of a modality a rank has drawn."""

    batches: int
    samples: int


class ModalityMixture:
    """The draws of one rank. `batch_size` counts videos; a batch of images is `image_batch_factor` times as large."""

    def __init__(
        self,
        *,
        batch_size: int,
        probabilities: Mapping[Modality, float] | None = None,
        image_batch_factor: int = IMAGE_BATCH_FACTOR,
        synchronised: bool = False,
        seed: int = 0,
        rank: int = 0,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("image_batch_factor", image_batch_factor)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number above 0, not {value!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed must be a whole number from 0 on, not {seed!r}")
        self.probabilities = _checked(PROBABILITIES if probabilities is None else probabilities)
        self.sizes: dict[Modality, int] = {"image": batch_size * image_batch_factor, "video": batch_size}
        self.synchronised = synchronised
        self._key = (seed, 0 if synchronised else rank)
        self._images_before = [0]  # before each chunk of draws
        self._chunk: tuple[int, np.ndarray] | None = None

    def draw(self, step: int) -> Draw:
        """What the step (from 0) draws."""
        images = self._images(step)
        modality: Modality = "image" if self._images(step + 1) > images else "video"
        return Draw(
            modality=modality, number=images if modality == "image" else step - images, size=self.sizes[modality]
        )

    def counts(self, steps: int) -> dict[Modality, Drawn]:
        """How much the first `steps` steps draw of each modality."""
        images = self._images(steps)
        batches: dict[Modality, int] = {"image": images, "video": steps - images}
        return {
            name: Drawn(batches=batches[name], samples=batches[name] * self.sizes[name])
            for name in MODALITIES
            if self.probabilities[name] > 0
        }

    def _images(self, steps: int) -> int:
        """How many of the first steps draw images."""
        if steps < 0:
            raise ConfigError(f"step is {steps} and must not be negative")
        number, rest = divmod(steps, _CHUNK)
        while len(self._images_before) <= number:
            latest = len(self._images_before) - 1
            self._images_before.append(self._images_before[latest] + int(self._running(latest)[-1]))
        return self._images_before[number] + (int(self._running(number)[rest - 1]) if rest else 0)

    def _running(self, number: int) -> np.ndarray:
        """The running count of images within a chunk of draws."""
        if self._chunk is None or self._chunk[0] != number:
            uniform = np.random.default_rng([*self._key, _DRAWING, number]).random(_CHUNK)
            self._chunk = number, np.cumsum(uniform < self.probabilities["image"])
        return self._chunk[1]


def _checked(probabilities: Mapping[Modality, float]) -> dict[Modality, float]:
    for name, value in probabilities.items():
        if name not in MODALITIES:
            raise ConfigError(f"probabilities are of image and video, not of {name!r}{nearest(str(name), MODALITIES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(f"the probability of {name} must be a number from 0 to 1, not {value!r}")
    given = {name: float(probabilities.get(name, 0.0)) for name in MODALITIES}
    if not math.isclose(sum(given.values()), 1.0, abs_tol=1e-6):
        raise ConfigError(f"probabilities must sum to 1, not to {sum(given.values()):g} ({given})")
    return given
