"""Embed pictures: seeds and frames of video by the same encoder, as vectors of length one.

An encoder of section `model.encoders` gives a grid of features of a picture; their mean (or maximum) is its vector.
Batches always have the same shape, filled up with their last picture, so that neither workers nor interruptions change
a vector.

Legend of the shape suffixes: N pictures, S patches, E width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np

from pseudocap.errors import ConfigError, DataError
from pseudocap.mine.seeds import SeedPicture
from pseudocap.workers import Pool

if TYPE_CHECKING:
    from pseudocap.model.encoders.base import Encoder
    from pseudocap.types import Preprocess

Pooling = Literal["mean", "max"]
AT_ONCE = 256  # seeds that are decoded before they are embedded
CRASHED = "decoding it crashes a process"


class Embedder(Protocol):
    """Embed pictures. `settings` is all that their vectors depend on; `size` the side that pictures are reduced to."""

    @property
    def settings(self) -> Mapping[str, object]: ...

    @property
    def size(self) -> int: ...

    def embed(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Return vectors [N,E] of length one of pictures, uint8 [H,W,3]."""

    def to(self, device: str) -> object:
        """Move to a device."""


class EncoderEmbedder:
    """Embed by an encoder of video, which sees every picture by itself."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        name: str,
        preprocess: Preprocess | None = None,
        pooling: Pooling = "mean",
        batch_size: int = 32,
    ) -> None:
        if pooling not in get_args(Pooling):
            raise ConfigError(f"pooling is {pooling!r} and must be one of {', '.join(get_args(Pooling))}")
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size} and must be at least 1")
        self._encoder, self._name, self._pooling, self._batch_size = encoder, name, pooling, batch_size
        self._preprocess = preprocess or encoder.preprocess

    @property
    def settings(self) -> Mapping[str, object]:
        fingerprint = self._encoder.fingerprint
        return {"encoder": self._name, "fingerprint": fingerprint, "pooling": self._pooling, "size": self.size}

    @property
    def size(self) -> int:
        return self._preprocess.size

    @property
    def width(self) -> int:
        return self._encoder.width("time")

    def to(self, device: str) -> object:
        return self._encoder.to(device)

    def embed(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        parts = [
            self._batch(pictures[first : first + self._batch_size])
            for first in range(0, len(pictures), self._batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    def _batch(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        import torch

        from pseudocap.video.transforms import eval_tensor

        images = [eval_tensor(picture[None], self._preprocess)[0] for picture in pictures]
        images += [images[-1]] * (self._batch_size - len(images))
        batch_N13HW = torch.stack(images)[:, None].to(self._encoder.device, self._encoder.dtype)
        with torch.inference_mode():
            features_NSE = self._encoder(batch_N13HW)[: len(pictures), 0].float()
            vectors_NE = features_NSE.mean(dim=1) if self._pooling == "mean" else features_NSE.amax(dim=1)
        return unit_vectors(vectors_NE.cpu().numpy(), self._name)


def unit_vectors(vectors_NE: np.ndarray, name: str) -> np.ndarray:
    """Return vectors at length one; DataError where one has none."""
    norms_N = np.linalg.norm(vectors_NE, axis=1)
    if not np.isfinite(norms_N).all() or (norms_N == 0).any():
        wrong = next(norm for norm in norms_N if not np.isfinite(norm) or norm == 0)
        raise DataError(
            f"the encoder {name} gives a vector whose norm is {wrong:g}, which is like nothing; take another encoder, "
            "or other weights of it"
        )
    unit: np.ndarray = (vectors_NE / norms_N[:, None]).astype(np.float32)
    return unit


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedSeeds:
    """Hold vectors of pictures [N,E] with which of them these are; `failed` has the reason of each of the others."""

    vectors: np.ndarray
    numbers: np.ndarray
    failed: Mapping[str, str]


def embed_seeds(pictures: Sequence[SeedPicture], embedder: Embedder, pool: Pool) -> EmbeddedSeeds:
    """Decode pictures in the workers, and embed those that can be decoded."""
    read = pool.ordered((partial(_pixels_of, picture) for picture in pictures), crashed=lambda _: CRASHED)
    waiting: list[np.ndarray] = []
    numbers, vectors, failed = [], [], {}
    for number, (picture, pixels) in enumerate(zip(pictures, read, strict=True)):
        if isinstance(pixels, str):
            failed[picture.name] = pixels
            continue
        numbers.append(number)
        waiting.append(pixels)
        if len(waiting) == AT_ONCE:
            vectors.append(embedder.embed(waiting))
            waiting = []
    if waiting or not vectors:
        vectors.append(embedder.embed(waiting))
    return EmbeddedSeeds(vectors=np.concatenate(vectors), numbers=np.array(numbers, np.int64), failed=failed)


def _pixels_of(picture: SeedPicture) -> np.ndarray | str:
    """Decode a picture in a worker; what is wrong with it comes back as text."""
    try:
        return picture.read()
    except DataError as error:
        return str(error)
