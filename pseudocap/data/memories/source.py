"""Read pooled memories from disk: what a frozen encoder computed of a clip, so that no epoch encodes it again.

The encoder never learns, so it gives the same for the same pixels each time. A memory of T + S vectors is all that the
separable adapters take of a clip, and a training run from memories needs neither videos nor an encoder. For captioners
whose attention reads every patch of every frame, the T * S vectors that were pooled can be stored beside them.

A folder holds `memories.json` (what made it, with a fingerprint of that) and shards: `00000.safetensors` with the
vectors, and `00000.json` with their samples, written last: a shard without it does not count. Vectors are float16, or
int8 with a scale for each vector. A sample has one or several views: view 0 is that of evaluation, the others are
random crops at random moments, so that augmentation survives. Samples may have different numbers of frames, so the
vectors of time lie one after another and `frames` counts those of each view; patches, where they are stored, lie
frame by frame in the same way. So do the vectors of the axes of sound, of which a view may have none.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError

from pseudocap.data.memories.spec import read_spec, short
from pseudocap.data.stream.sources import Described, RowSource, asked, digest_of, row_fields
from pseudocap.data.videos import plain_name
from pseudocap.errors import DataError, first_line, nearest
from pseudocap.memory import Axis, Memory
from pseudocap.rows import stretch_id
from pseudocap.tolerance import Tolerance
from pseudocap.types import CaptionedVideo, Preprocess, Sample, SoundPreprocess

# The tensor that counts the vectors of an axis in each view. Of space every view has as many, one per patch.
COUNTS = {"time": "frames", "sound": "sound_counts", "pitch": "pitch_counts"}


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRow:
    """Map a sample's description to its index among the vectors of this shard.

    None means that an earlier row has the same content, so its vectors serve both.
    """

    of: Described
    place: int | None  # the name on disk


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Record that the sample with this number of the source failed."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardIndex:
    """Hold the index beside a shard. With it all numbers below `next` of the source with this identity are done.

    `mended` are numbers that had failed before and are stored here.
    """

    source: str
    next: int
    rows: tuple[MemoryRow, ...]
    failed: tuple[Failure, ...] = ()
    mended: tuple[int, ...] = ()


def shard_paths(folder: Path) -> list[Path]:
    """List the indices of the shards that are complete, in order."""
    return sorted(path for path in folder.glob("*.json") if path.stem.isdigit())


def read_index(path: Path) -> ShardIndex:
    try:
        document = json.loads(path.read_bytes())
        return ShardIndex(
            source=document["source"],
            next=document["next"],
            rows=tuple(
                MemoryRow(of=Described(**{**row["of"], "captions": tuple(row["of"]["captions"])}), place=row["place"])
                for row in document["rows"]
            ),
            failed=tuple(Failure(**failure) for failure in document["failed"]),
            mended=tuple(document["mended"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}; remove it and encode again") from error


class MemorySource:
    """Draw samples from stored memories: what a stream, or a data module, reads instead of videos.

    `encoder` and `preprocess`, `audio_encoder` and `sound` are those of the model that will learn from them; what was
    made with others is refused, and videos without sound for a model that hears.
    With a generator a sample is one of its random views (the one view where there is no other), without one it is that
    of evaluation. `patches` is whether the model reads every patch: only then are those loaded.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        encoder: str | None = None,
        preprocess: Preprocess | None = None,
        patches: bool = False,
        audio_encoder: str | None = None,
        sound: SoundPreprocess | None = None,
    ) -> None:
        self.folder, self.patches = Path(folder), patches
        self.spec = read_spec(self.folder)
        self.refuse_mismatches(encoder, preprocess, patches=patches)
        self._rows_of: dict[str, tuple[int, int]] = {}  # of a content: its shard, and its index there
        rows: dict[tuple[str, str], tuple[int, Described]] = {}  # a later row about the same has the newer captions
        paths = shard_paths(self.folder)
        for path in paths:
            for row in read_index(path).rows:
                if row.place is not None:
                    self._rows_of[row.of.content] = (int(path.stem), row.place)
                shard, _ = rows.get((row.of.key, row.of.content), (int(path.stem), None))
                rows[row.of.key, row.of.content] = (shard, row.of)
        if not rows:
            raise DataError(f"{self.folder} holds no memory yet; let `pseudocap encode` finish a shard")
        ordered = sorted(rows.values(), key=lambda row: row[0])
        self.rows = tuple(row for _, row in ordered)
        self.groups = tuple(Counter(shard for shard, _ in ordered).values())
        kinds = {row.modality for row in self.rows}
        if len(kinds) > 1:
            raise DataError(f"{self.folder} mixes images and videos; encode them into two folders")
        (self.modality,) = kinds
        self.refuse_other_sound(audio_encoder, sound)
        self._by_key: dict[str, list[int]] = {}
        self._by_video: dict[str, list[int]] = {}
        for number, of in enumerate(self.rows):
            self._by_key.setdefault(of.key, []).append(number)
            self._by_video.setdefault(plain_name(of.key), []).append(number)

    def refuse_mismatches(self, encoder: str | None, preprocess: Preprocess | None, *, patches: bool = False) -> None:
        """Raise DataError where a model with this encoder and preprocessing gets other input; None is not compared. So
        it is where the model reads patches and they are not stored, or not loaded."""
        if encoder is not None and encoder != self.spec.encoder:
            raise DataError(
                f"{self.folder} was encoded by weights with fingerprint {self.spec.encoder[:12]}, and the model's "
                f"encoder has {encoder[:12]}; encode again with the model's own"
            )
        if preprocess is not None and preprocess != self.spec.preprocess:
            raise DataError(
                f"{self.folder} was encoded from other pictures ({short(self.spec.preprocess)}) than the model "
                f"takes ({short(preprocess)}); encode again with the model's own"
            )
        if patches and not self.spec.patches:
            raise DataError(
                f"{self.folder} holds pooled vectors alone, and the model's attention reads every patch of every "
                "frame; encode into another folder with `pseudocap encode --patches`"
            )
        if patches and not self.patches:
            raise DataError(
                f"{self.folder} was opened without its patches, and the model's attention reads them; open it as "
                "MemorySource(..., patches=True)"
            )

    def refuse_other_sound(self, audio_encoder: str | None, sound: SoundPreprocess | None) -> None:
        """Raise DataError where a model with this audio encoder gets other sound, or videos without any; None is not
        compared."""
        there = self.spec
        if audio_encoder is not None and not there.audio_encoder and self.modality == "video":
            raise DataError(
                f"{self.folder} holds no sound, and the model hears; encode into another folder with "
                "`pseudocap encode --audio-encoder`"
            )
        if audio_encoder is not None and there.audio_encoder not in ("", audio_encoder):
            raise DataError(
                f"the sound in {self.folder} was encoded by weights with fingerprint {there.audio_encoder[:12]}, and "
                f"the model's audio encoder has {audio_encoder[:12]}; encode again with the model's own"
            )
        if sound is not None and there.sound not in (None, sound):
            raise DataError(
                f"{self.folder} was encoded from other sound ({short(there.sound)}) than the model takes "
                f"({short(sound)}); encode again with the model's own"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def identity(self) -> str:
        digest = hashlib.sha256(self.spec.fingerprint.encode())
        for row in self.rows:
            digest.update(json.dumps([row.key, row.content, *row.captions]).encode() + b"\n")
        return digest.hexdigest()

    def name(self, index: int) -> str:
        return self.rows[index].key

    def find(self, key: str) -> int:
        if key not in self._by_key:
            raise DataError(f"{self.folder} has no memory of {key}{nearest(key, self._by_key)}; encode it too")
        return self._only(key, self._by_key[key])

    def of_row(self, row: CaptionedVideo) -> int | None:
        """Find the sample of a corpus's row: by its id, of a question or of one language by its stretch; or, where the
        row is an entire video, by the video's name."""
        of_stretch = row.question or row.language
        found = self._by_key.get(stretch_id(row.video, row.start, row.end) if of_stretch else row.id)
        if found is None and row.start is None:
            found = self._by_video.get(plain_name(row.video))
        return self._only(row.id, found) if found is not None else None

    def _only(self, key: str, numbers: list[int]) -> int:
        """Return the newest of samples with the same vectors; of different ones it is unknown which is meant."""
        if len({self.rows[number].content for number in numbers}) > 1:
            raise DataError(
                f"{self.folder} has memories of different videos under the name {key}: of folders with equal names, or "
                "of a file that was replaced since; encode what you learn from into a folder of its own"
            )
        return numbers[-1]

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        row = self.rows[index]
        view = 0
        if generator is not None and self.spec.crops:
            view = 1 + int(torch.randint(self.spec.crops, (), generator=generator))
        return Sample(key=row.key, modality=row.modality, captions=row.captions, memory=self.memory(index, view))

    def memory(self, index: int, view: int = 0) -> Memory:
        """Read one view of one sample in float32: its axes, and patches where they were requested."""
        shard, row = self._rows_of[self.rows[index].content]
        path = self.folder / f"{shard:05d}.safetensors"
        try:
            state = path.stat()
        except OSError as error:
            raise DataError(f"{path} is gone: {first_line(error)}; encode again") from error
        file, starts = _open_shard(path, state.st_size, state.st_mtime_ns, self.spec.axes)
        number = row * self.spec.views + view
        rows = {name: slice(int(first[number]), int(first[number + 1])) for name, first in starts.items()}

        def read(tensor: str, rows: slice | tuple[int, int]) -> torch.Tensor:
            vectors = file.get_slice(tensor)[rows].float()
            return (vectors * file.get_slice(f"{tensor}_scale")[rows] if self.spec.storage == "int8" else vectors)[None]

        axes = {}
        for name in self.spec.axes:
            if name not in rows:
                vectors = read(name, (row, view))
            elif rows[name].start < rows[name].stop:
                vectors = read(name, rows[name])
            else:  # a clip without sound
                continue
            axes[name] = Axis(vectors, torch.ones(vectors.shape[:2], dtype=torch.bool))
        return Memory(axes, patches=read("patches", rows["time"]) if self.patches else None)


class MemoryRows(RowSource):
    """Draw the rows of a corpus whose memory is stored, with its captions; `missing` has the ids of the others."""

    def __init__(self, rows: Iterable[CaptionedVideo], memories: MemorySource) -> None:
        found = [(row, memories.of_row(row)) for row in rows]
        self.rows = tuple(row for row, number in found if number is not None)
        self.missing = tuple(row.id for row, number in found if number is None)
        self.groups = (len(self.rows),)
        self._numbers = tuple(number for _, number in found if number is not None)
        self._memories, self._root = memories, memories.folder

    @property
    def identity(self) -> str:
        return f"{digest_of(row_fields(row) for row in self.rows)} {self._memories.identity}"

    def refuse_missing(self, tolerance: Tolerance) -> None:
        """Raise DataError where the rows without a memory are more than may be."""
        rows = len(self.rows) + len(self.missing)
        what = f"videos have no memory in {self._root} ({', '.join(self.missing[:3])}, ..)"
        if objection := tolerance.objection(len(self.missing), rows, what):
            raise DataError(f"{objection}; encode them too (pseudocap encode), name another folder, or allow more")

    def sample(self, index: int, generator: torch.Generator | None) -> Sample:
        stored = self._memories.sample(self._numbers[index], generator)
        row = self.rows[index]
        return Sample(key=row.id, modality="video", captions=row.captions, memory=stored.memory, prompt=asked(row))

    def describe(self, index: int) -> Described:
        row = self.rows[index]
        content = self._memories.rows[self._numbers[index]].content
        return Described(key=row.id, content=content, modality="video", captions=row.captions)


@lru_cache(maxsize=256)  # below the usual limit of open files
def _open_shard(path: Path, size: int, changed: int, axes: tuple[str, ...]) -> tuple[Any, dict[str, np.ndarray]]:
    """Map the file, and return it with where the vectors of every view begin, by axis. `size` and `changed` differ
    where a file was written anew."""
    try:
        file = safetensors.safe_open(path, framework="pt")
        counts = {name: file.get_tensor(COUNTS[name]).flatten().numpy() for name in axes if name in COUNTS}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged: {first_line(error)}; remove it and its .json, and encode again") from error
    return file, {name: np.concatenate([[0], np.cumsum(count)]) for name, count in counts.items()}
