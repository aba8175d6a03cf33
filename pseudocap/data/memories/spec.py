"""Specify what memories depend on beside their clips, and read that of a folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from pseudocap.errors import ConfigError, DataError, first_line
from pseudocap.memory import AXES, SIGHT
from pseudocap.types import Preprocess, SoundPreprocess

Storage = Literal["float16", "int8"]
Precision = Literal["float32", "bfloat16"]

FORMAT = 1


MANIFEST = "memories.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemorySpec:
    """Specify what a memory depends on beside the clip: the encoder's weights, its frames, and the storage."""

    encoder: str  # the fingerprint of its weights, empty where there is sound alone
    preprocess: Preprocess | None  # None where there is sound alone
    crops: int = 0  # random views of each clip, beside that of evaluation
    seed: int = 0  # of those
    storage: Storage = "float16"
    precision: Precision = "float32"  # that the encoder ran in
    patches: bool = False  # whether all patches are stored beside the pooled vectors
    axes: tuple[str, ...] = SIGHT  # of the memory, in their order
    audio_encoder: str = ""  # the fingerprint of its weights, empty where there is no sound
    sound: SoundPreprocess | None = None  # None where there is no sound

    def __post_init__(self) -> None:
        if self.crops < 0:
            raise ConfigError(f"crops is {self.crops} and must be 0 (evaluation's view alone) or more")
        if self.storage not in ("float16", "int8"):
            raise ConfigError(f"storage is {self.storage!r} and must be 'float16' or 'int8'")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"precision is {self.precision!r} and must be 'float32' or 'bfloat16'")
        if not self.axes or self.axes != tuple(name for name in AXES if name in self.axes):
            raise ConfigError(f"axes are {self.axes!r} and must be some of {', '.join(AXES)}, in this order")
        if self.patches and not {*SIGHT} <= {*self.axes}:
            raise ConfigError(f"patches are of time and space, and axes are {', '.join(self.axes)}")
        if self.preprocess is None and {*SIGHT} & {*self.axes}:
            raise ConfigError(f"axes are {', '.join(self.axes)}, and time and space are of pictures: name preprocess")
        if bool(self.audio_encoder) != (self.sound is not None):
            raise ConfigError("audio_encoder and sound come together: what hears, and what it hears")

    @property
    def views(self) -> int:
        return 1 + self.crops

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        values = {"format": FORMAT, **asdict(self)}
        # As it was before there was a choice, so that older folders stay the same.
        once = {"precision": "float32", "patches": False, "axes": SIGHT, "audio_encoder": "", "sound": None}
        for name, value in once.items():
            if values[name] == value:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> MemorySpec:
        values = {name: value for name, value in document.items() if name != "format"}
        if "axes" in values:
            values["axes"] = tuple(values["axes"])
        for name, kind in (("preprocess", Preprocess), ("sound", SoundPreprocess)):
            if values.get(name) is not None:
                values[name] = kind(**values[name])
        return cls(**values)


def view_generator(spec: MemorySpec, content: str, view: int) -> torch.Generator | None:
    """Return the randomness of one view of one clip, a function of these alone; None for the view of evaluation."""
    if view == 0:
        return None
    digest = hashlib.sha256(f"{spec.seed} {content} {view}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def read_spec(folder: Path) -> MemorySpec:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of memories; `pseudocap encode` makes one")
    if not path.is_file():
        raise DataError(f"{folder} holds no {MANIFEST}, so no memories; `pseudocap encode` makes some")
    try:
        document = json.loads(path.read_bytes())
        stated = document.pop("fingerprint")
        if document["format"] != FORMAT:
            raise DataError(f"{path} is of format {document['format']}, and this version reads {FORMAT}")
        spec = MemorySpec.from_dict(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {first_line(error)}; encode again into an empty folder") from error
    if stated != spec.fingerprint:
        raise DataError(f"{path} was edited: its settings do not have the fingerprint that it states; encode again")
    return spec


def differences(there: MemorySpec, wanted: MemorySpec) -> str:
    """Describe differences: `crops is 2 there and 0 here, ...`"""
    pairs = ((name, getattr(there, name), getattr(wanted, name)) for name in MemorySpec.__slots__)
    return ", ".join(f"{name} is {short(one)} there and {short(two)} here" for name, one, two in pairs if one != two)


def short(value: object) -> str:
    """Write a setting for people."""
    if isinstance(value, Preprocess | SoundPreprocess):
        return ", ".join(f"{name} {part}" for name, part in asdict(value).items())
    return value[:12] if isinstance(value, str) else str(value)
