"""Read tensors from disk safely, load them by exact key set, recognise them by fingerprint. Never pickle of our own."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.atomic import IDLE, remove_unfinished, unfinished_group
from pseudocap.files.sources import hub_answers, read_json
from pseudocap.memory import quantise

SAMPLES_PER_TENSOR = 64
SCALE = ".int8_scale"  # of a tensor's rows, beside it in the file


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a file; those that are stored in 8 bits come in float32."""
    try:
        stored = safetensors.torch.load_file(path)
        scales = {name.removesuffix(SCALE): stored.pop(name) for name in list(stored) if name.endswith(SCALE)}
        return stored | {name: stored[name].float() * scale for name, scale in scales.items()}
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise CheckpointError(
            f"{path} ({size} bytes) is damaged or incomplete: {error}; copy or download it again"
        ) from error


def in_8_bits(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as a file keeps them in a byte each: matrices with a scale for each row, the others in float16."""
    small: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() < 2:
            small[name] = tensor.half()
        else:
            small[name], small[name + SCALE] = quantise(tensor)
    return small


def stored_in_8_bits(path: Path) -> bool:
    """Return whether a safetensors file has weights as `in_8_bits` gives them, by its header."""
    with safetensors.safe_open(path, framework="pt") as file:
        return any(name.endswith(SCALE) for name in file.keys())  # noqa: SIM118 - it is no mapping


def read_torch(path: Path, *, inside: str = "state_dict") -> dict[str, torch.Tensor]:
    """Read the weights of a file of PyTorch's, which may lie `inside` a larger dict, without running any code in it."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a directory; name the file of weights in it") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no plain checkpoint of tensors, and code in it is never run; download it again, or save its "
            "state dict alone where you trust it"
        ) from error
    except Exception as error:  # torch's reader fails on arbitrary bytes in arbitrary ways
        raise CheckpointError(f"{path} is damaged or no torch checkpoint: {first_line(error)}") from error
    state = document.get(inside, document) if isinstance(document, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no {inside!r} of tensors, and nothing but tensors itself neither")
    if not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} holds tensors without names, which are no model's")
    return state


def renamed(key: str, names: Iterable[tuple[str, str]]) -> str | None:
    """Return the name that the first fitting pattern of other people's key has for us; None where none fits."""
    fitting = ((re.fullmatch(pattern, key), ours) for pattern, ours in names)
    return next((match.expand(ours) for match, ours in fitting if match), None)


def only_dtype(path: Path) -> torch.dtype:
    """Return the type that all weights of a safetensors file have, by its header; float32 where they differ."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {error}; copy or download it again") from error
    halves = {"F16": torch.float16, "BF16": torch.bfloat16}
    return halves.get(kinds.pop(), torch.float32) if len(kinds) == 1 else torch.float32


def widen(model: nn.Module, path: Path) -> None:
    """Read the parameters of a model whose file is in 16 bits again in float32, one by one.

    Not cast from where they are: those are pages of the mapped file, which would stay in memory beside their casts,
    half as much again as the model needs. Closing the file after each tensor lets its pages go.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with safetensors.safe_open(path, framework="pt") as file:
        keys = list(file.keys())
    for key in keys:
        parameter = parameters.get(key, parameters.get(f"model.{key}"))  # older files know no head
        if parameter is not None:
            with safetensors.safe_open(path, framework="pt") as file:
                parameter.data = file.get_tensor(key).float()
    model.float()  # what the file calls otherwise


def transformers_access(source: str | Path, access: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of from_pretrained for a source: what is cached must do where the hub does not answer."""
    asked = {name: access[name] for name in ("revision", "token")}
    return {**access, "local_files_only": access["local_files_only"] or not hub_answers(source, **asked)}


def transformers_reason(error: Exception) -> str:
    """Return why transformers could not load a model, in words that help: its own name options that nobody set."""
    if "ignore_mismatched_sizes" in str(error):
        return "its weights have other shapes than its config.json says"
    return first_line(error)


def write_checkpoint(
    folder: Path,
    *,
    weights: str,
    tensors: Mapping[str, torch.Tensor],
    config: str,
    document: Mapping[str, object],
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write all files (`beside` are texts), the config last.

    A full disk leaves what stood there untouched, a killed process leaves sound files, and a directory without a config
    is no checkpoint.
    """
    if not str(folder).strip("."):
        raise CheckpointError("a checkpoint needs a directory of its own; name one")
    _refuse_foreign(folder / config, document)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    texts = {**(beside or {}), config: json.dumps(document, indent=2, ensure_ascii=False) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder, idle=IDLE)
        with unfinished_group(folder / weights, *(folder / name for name in texts)) as (tensor_file, *text_files):
            safetensors.torch.save_file(contiguous, tensor_file, metadata={"format": "pt"})
            for file, text in zip(text_files, texts.values(), strict=True):
                file.write_text(text, encoding="utf-8")
            tensor_file.chmod(text_files[-1].stat().st_mode)  # safetensors gives its files to their owner alone
    except (OSError, SafetensorError) as error:
        if folder.exists() and not folder.is_dir():
            raise CheckpointError(f"{folder} is a file, so no checkpoint can be written there") from error
        raise CheckpointError(
            f"{folder} could not be written: {first_line(error)}; what stood there is untouched"
        ) from error


def _refuse_foreign(config: Path, document: Mapping[str, object]) -> None:
    """Refuse to write over a backbone: a checkpoint may replace only one of its own kind."""
    if config.is_file() and (there := read_json(config).get("model_type")) != document["model_type"]:
        raise CheckpointError(
            f"{config.parent} holds a {there!r}, which a {document['model_type']!r} must not overwrite; "
            "choose another directory"
        )


def load_exactly(module: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: str | Path) -> None:
    """Load all of a module's state, and nothing else; every key that is too few, too many or misshapen is named.

    The module, which may be on the meta device, takes the tensors themselves: those of a file stay pages of the file
    until somebody writes to them. Nobody else may then write to them, and no two may share memory.
    """
    expected = module.state_dict()
    problems = []
    if missing := sorted(expected.keys() - tensors.keys()):
        problems.append(f"missing {_some(missing)}")
    if unexpected := sorted(tensors.keys() - expected.keys()):
        problems.append(f"unexpected {_some(unexpected)}")
    if misshapen := [
        f"{name} is {list(tensors[name].shape)} and should be {list(expected[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]:
        problems.append(f"misshapen: {_some(misshapen)}")
    if problems:
        raise CheckpointError(
            f"the weights in {source} do not fit: {'; '.join(problems)}; they belong to another architecture"
        )
    if broken := sorted(
        name
        for name, tensor in tensors.items()
        if expected[name].is_floating_point() != tensor.is_floating_point() or not _all_finite(tensor)
    ):
        raise CheckpointError(f"{source} holds NaN, infinite or whole numbers in {_some(broken)}; train or copy again")
    module.load_state_dict(
        {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}, strict=True, assign=True
    )


def _all_finite(tensor: torch.Tensor) -> bool:
    """Check in one pass without a second tensor: adapters of a gigabyte take a fraction of a second."""
    if not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def fingerprint(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return a sampled sha256 over every tensor: its name, its shape, and up to 64 evenly spaced values.

    Shapes alone prove nothing (K400 and HowTo100M encoders share them all). Values are hashed as float32, which holds
    float16 and bfloat16 exactly, so a file and its exact upcast agree. Weights must be hashed as stored, before any
    cast to a smaller type.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        flat = tensor.detach().reshape(-1)
        picks = torch.linspace(0, flat.numel() - 1, min(SAMPLES_PER_TENSOR, flat.numel()), dtype=torch.float64)
        digest.update(flat[picks.round().long()].to(torch.float32).cpu().numpy().tobytes())
    return digest.hexdigest()
