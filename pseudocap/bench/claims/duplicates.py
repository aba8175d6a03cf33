"""Find near-duplicates: test videos that pre-training may have seen, whatever their files are called.

A frame is a thumbnail of 16 by 16 pixels in colour, less its mean and of length one, so that two frames are compared by
the correlation of their content: size, codec and brightness do not matter, and no network's opinion enters (the
pooled memory of an encoder calls two films of the same kind alike, which is its work). A test video is suspect where
the median of its frames' best correlations with one sample of the other side reaches a threshold. The comparison is
complete, test frames times training frames, one product of matrices a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pseudocap.data.stream.sources import TarSource
from pseudocap.data.tars.index import index_tars
from pseudocap.data.videos import VideoFolder
from pseudocap.errors import ConfigError, DataError, DecodeError
from pseudocap.stages import Stage, Workshop
from pseudocap.types import IMAGE_EXTENSIONS, Modality, Preprocess, Progress
from pseudocap.video.tensors import batched, decode_file

THRESHOLD = 0.99
CODE = 1
BATCH = 256  # samples of the other side that are compared at once
LOOK = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), frames=8)
Thumbnails = tuple[str, torch.Tensor]  # a sample's name and its thumbnails [T, pixels]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Hold a test video and the sample of the other side that is most like it."""

    test: str
    seen: str
    alike: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Hold in `nearest` every test video's likest sample, the likest first; `unreadable` could not be compared."""

    nearest: tuple[Pair, ...]
    compared: int
    unreadable: tuple[str, ...]
    threshold: float

    @property
    def duplicates(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.nearest if pair.alike >= self.threshold)

    def document(self) -> dict[str, Any]:
        return {
            "test videos": len(self.nearest),
            "compared with": self.compared,
            "threshold": self.threshold,
            "duplicates": [asdict(pair) for pair in self.duplicates],
            "likest": [asdict(pair) for pair in self.nearest[:10]],
            "unreadable": list(self.unreadable),
        }


def find_duplicates(
    test: Sequence[Path],
    seen: Sequence[Path],
    *,
    threshold: float = THRESHOLD,
    progress: Progress = lambda done, total: None,
) -> Found:
    """Compare every test video with all samples of `seen`: folders of videos and images, or of tars of either."""
    if not 0 < threshold <= 1:
        raise ConfigError(f"the threshold is a correlation, above 0 and at most 1, not {threshold:g}")
    unreadable: list[str] = []
    tests = list(_readable(((path.name, partial(decode_file, path, LOOK)) for path in test), unreadable))
    if not tests:
        raise DataError(
            f"none of the {len(test)} test videos can be read: {', '.join(unreadable[:3]) or 'none is there'}"
        )
    frames = [_unit(thumbnails) for _, thumbnails in tests]
    lengths = [len(each) for each in frames]
    frames_of_tests = torch.cat(frames)
    best = [Pair(test=name, seen="", alike=-1.0) for name, _ in tests]
    sources = [_samples(path) for path in seen]
    total, compared = sum(count for count, _ in sources), 0
    for _, samples in sources:
        for batch in batched(_readable(samples, unreadable), BATCH):
            likest = _likest(frames_of_tests, lengths, [_unit(thumbnails) for _, thumbnails in batch])
            for number, (value, index) in enumerate(zip(*(each.tolist() for each in likest.max(dim=1)), strict=True)):
                if value > best[number].alike:
                    best[number] = Pair(test=best[number].test, seen=batch[index][0], alike=round(value, 4))
            compared += len(batch)
            progress(compared, total)
    return Found(
        nearest=tuple(sorted(best, key=lambda pair: -pair.alike)),
        compared=compared,
        unreadable=tuple(unreadable),
        threshold=threshold,
    )


def _likest(frames_of_tests: torch.Tensor, lengths: Sequence[int], batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return [tests, samples]: the median over a test's frames of their best correlation with a frame of the sample."""
    every = frames_of_tests @ torch.cat(list(batch)).T
    best = torch.stack([part.amax(dim=1) for part in every.split([len(each) for each in batch], dim=1)], dim=1)
    return torch.stack([rows.median(dim=0).values for rows in best.split(list(lengths))])


def _unit(thumbnails: torch.Tensor) -> torch.Tensor:
    """Turn [T,3,16,16] into vectors whose product is their correlation. A frame of a single colour is like no other."""
    flat = thumbnails.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    return torch.where(norm > 1e-3, flat / norm.clamp_min(1e-3), 0.0)


def _samples(root: Path) -> tuple[int, Iterator[tuple[str, Callable[[], torch.Tensor]]]]:
    """Return how many there are, and each with its name and how to decode it."""
    if not root.exists():
        raise DataError(f"{root}: there is no such file or folder; name videos, images, or tars of either")
    if root.suffix == ".tar" or (root.is_dir() and any(root.glob("*.tar"))):
        source = _tars(root)
        count = sum(source.groups)
        return count, ((source.name(number), partial(_of_tar, source, number)) for number in range(count))
    paths = files_of(root)
    return len(paths), ((path.name, partial(decode_file, path, LOOK)) for path in paths)


def _of_tar(source: TarSource, number: int) -> torch.Tensor:
    frames = source.sample(number, None).frames
    assert frames is not None, "a tar's sample has frames"
    return frames


def _tars(root: Path) -> TarSource:
    """Open tars; the first sample decides whether they hold images or videos."""
    tars = index_tars(root)
    kinds: tuple[Modality, ...] = ("image", "video")
    for modality in kinds:
        source = TarSource(tars, LOOK, modality=modality)
        try:
            source.sample(0, None)
        except DataError:
            continue
        return source
    raise DataError(f"{root}: the first sample is neither an image nor a video that can be read")


def files_of(root: Path) -> list[Path]:
    """List a file, or the videos and images below a folder."""
    if root.is_file():
        return [root]
    images = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)
    found = [*VideoFolder(root).paths, *images]
    if not found:
        raise DataError(f"{root} holds no video, no image and no tar")
    return found


def _readable(samples: Iterator[tuple[str, Callable[[], torch.Tensor]]], unreadable: list[str]) -> Iterator[Thumbnails]:
    for name, look in samples:
        try:
            yield name, look()
        except (DataError, DecodeError, OSError) as error:
            unreadable.append(f"{name}: {error}")


def duplicates_stage(
    shop: Workshop,
    seen: Sequence[Path],
    test: Callable[[], Sequence[Path]],
    *,
    needs: Sequence[str],
    settings: Mapping[str, Any] | None = None,
) -> Stage:
    """Make the check a stage of a benchmark: what is pre-trained on against the test videos."""

    def look(folder: Path, report: Progress) -> Mapping[str, Any]:
        return find_duplicates(test(), seen, progress=report).document()

    return Stage(
        name="cells/duplicates",
        settings={"code": CODE, "threshold": THRESHOLD, **(settings or {})},
        make=look,
        needs=needs,
    )
