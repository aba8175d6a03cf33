"""Write shards of memories: vectors are gathered as they are stored, in files that count once complete."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from pseudocap.data.memories.source import COUNTS, ShardIndex
from pseudocap.data.memories.spec import FORMAT, MANIFEST, MemorySpec, differences, read_spec
from pseudocap.errors import DataError, first_line
from pseudocap.files.atomic import unfinished
from pseudocap.memory import Memory, quantise


def create(folder: Path, spec: MemorySpec) -> None:
    """Make a folder for these memories, or accept the existing one if it was made with the very same settings."""
    if (folder / MANIFEST).is_file():
        there = read_spec(folder)
        if there != spec:
            raise DataError(
                f"{folder} holds memories that were made otherwise: {differences(there, spec)}; "
                "choose another folder, or the same settings"
            )
        return
    # A hidden file is what a run left that was killed as it began.
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no {MANIFEST}; choose another folder for the memories")
    document = json.dumps({**spec.to_dict(), "fingerprint": spec.fingerprint}, indent=2) + "\n"
    _write(folder / MANIFEST, lambda scratch: scratch.write_text(document))


class ShardVectors:
    """Hold the vectors of a shard of at most so many samples, once and as small as they are stored.

    They are written where the file will have them from the beginning. Gathered view by view as float32 and packed at
    the end, a shard would take several times its size. Room that is not used takes no memory.
    """

    def __init__(self, spec: MemorySpec, samples: int) -> None:
        self.views = 0
        self._spec, self._room = spec, samples * spec.views
        self._counts: dict[str, list[int]] = {name: [] for name in spec.axes if name in COUNTS}
        self._taken = dict.fromkeys(self._counts, 0)  # vectors of the axes that lie one view after another
        self._rooms: dict[str, torch.Tensor] = {}

    def add(self, memory: Memory) -> None:
        """Add the real vectors of some views."""
        for name in self._spec.axes:
            axis = memory.axes.get(name)
            if name not in COUNTS:
                assert axis is not None, "where there are frames there are patches"
                self._put(name, axis.vectors, first=self.views, room=self._room)
                continue
            counts = [0] * len(memory) if axis is None else axis.mask.sum(dim=1).tolist()
            if axis is not None:
                frames = self._spec.preprocess
                longest = frames.frames if name == "time" and frames is not None else axis.mask.shape[1]
                first, room = self._taken[name], self._room * longest
                self._put(name, axis.vectors[axis.mask], first=first, room=room)
                if name == "time" and memory.patches is not None:
                    self._put("patches", memory.patches[axis.mask], first=first, room=room)
            self._counts[name] += counts
            self._taken[name] += sum(counts)
        self.views += len(memory)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors as the file has them; none where there is no sample."""
        if not self.views:
            return {}
        views = self._spec.views
        packed = {
            COUNTS[name]: torch.tensor(counts, dtype=torch.int32).view(-1, views)
            for name, counts in self._counts.items()
        }
        for name, room in self._rooms.items():
            axis = name.removesuffix("_scale").replace("patches", "time")
            packed[name] = room[: self._taken[axis]] if axis in COUNTS else room[: self.views].unflatten(0, (-1, views))
        return packed

    def _put(self, name: str, vectors: torch.Tensor, *, first: int, room: int) -> None:
        parts = {name: vectors}
        if self._spec.storage == "int8":
            parts[name], parts[f"{name}_scale"] = quantise(vectors)
        for part, values in parts.items():
            needed, held = first + len(values), self._rooms.get(part)
            if held is None or len(held) < needed:  # the length of a sound is not known before
                size = max(room, needed if held is None else 2 * needed)
                stored = torch.float16 if self._spec.storage == "float16" else values.dtype
                self._rooms[part] = torch.empty(size, *values.shape[1:], dtype=stored)
                if held is not None:
                    self._rooms[part][:first] = held[:first]
            self._rooms[part][first:needed] = values


def write_shard(folder: Path, number: int, tensors: dict[str, torch.Tensor], index: ShardIndex) -> None:
    """Write vectors first, then the index that makes them count; each under another name until it is complete."""
    # ASCII, because a file's name may be no UTF-8, and comes back as it was from an escape.
    document = json.dumps({"format": FORMAT, **asdict(index)}).encode()
    _write(folder / f"{number:05d}.safetensors", lambda scratch: safetensors.torch.save_file(tensors, scratch))
    _write(folder / f"{number:05d}.json", lambda scratch: scratch.write_bytes(document + b"\n"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(path, contested=True, durable=True) as scratch:
            write(scratch)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} could not be written: {first_line(error)}; the shards before are complete, run again to go on"
        ) from error
