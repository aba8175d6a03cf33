"""Read how far the adapters of a checkpoint opened, from its weights alone: no backbone is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pseudocap.errors import CheckpointError, InputError, first_line
from pseudocap.model.adapter import build_adapter
from pseudocap.model.config import CONTEXT, PseudoCapConfig
from pseudocap.model.weights import SCALE

BINS = 32
STEP = 0.05  # the bins reach to whole multiples of this, so that neighbouring checkpoints have the same ones
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Hold one gate of the adapter before a layer: a value for each dimension, or a single one."""

    layer: int
    name: str
    values: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Histograms:
    """Count all gates of a checkpoint over the same bins: `counts` [gate, bin] between `edges` [bin + 1]."""

    gates: tuple[Gate, ...]
    edges: np.ndarray
    counts: np.ndarray


def read_gates(weights: Path, config: PseudoCapConfig) -> tuple[Gate, ...]:
    """Read the opened gates, by layer. Of the file only the gates' own tensors are read."""
    if config.attention == CONTEXT:
        raise InputError(f"a captioner with attention='{CONTEXT}' has no adapters, and so no gates")
    try:
        with safe_open(weights, framework="pt") as file:
            names = set(file.keys())
            return tuple(
                gate for layer in config.adapter_layers for gate in _gates_before(layer, config, file, names, weights)
            )
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights} cannot be read: {first_line(error)}; fetch or copy it again") from error


def _gates_before(layer: int, config: PseudoCapConfig, file: safe_open, names: set[str], weights: Path) -> list[Gate]:
    """Read an adapter's gates, which it holds itself and not in its parts: an empty adapter is filled with them."""
    with torch.device("meta"):
        adapter = build_adapter(config, width=1, memory_widths=dict.fromkeys(config.axes, 1), heads=1)
    own = [*adapter._parameters, *adapter._buffers]
    for name in own:
        key = f"{layer}.{name}"
        if key not in names:
            raise CheckpointError(f"{weights} has no {key}, which an adapter of fusion {config.fusion!r} has")
        tensor = file.get_tensor(key)
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{weights} holds NaN or infinite numbers in {key}; train or copy again")
        setattr(adapter, name, nn.Parameter(tensor) if name in adapter._parameters else tensor)
    return [
        Gate(layer=layer, name=name, values=values.detach().float().numpy()) for name, values in adapter.gates().items()
    ]


def read_mixing(weights: Path, config: PseudoCapConfig) -> dict[int, dict[str, float]]:
    """Read how much each adapter of a captioner that hears takes of each axis: the norm of its block of W_mix, by
    layer. Nothing of a captioner that sees alone."""
    if not config.hears:
        return {}
    found = {}
    with safe_open(weights, framework="pt") as file:
        names = set(file.keys())
        for layer in config.adapter_layers:
            key = f"{layer}.attention.mix.weight"
            weight = file.get_tensor(key).float()
            weight = weight * file.get_tensor(key + SCALE) if key + SCALE in names else weight
            blocks = zip(config.axes, weight.chunk(len(config.axes), dim=1), strict=True)
            found[layer] = {axis: float(block.norm()) for axis, block in blocks}
    return found


def count_gates(gates: Sequence[Gate], *, bins: int = BINS) -> Histograms:
    """Count comparable histograms: from the smallest gate to the largest of all, rounded outwards."""
    values = np.concatenate([gate.values for gate in gates]).astype(np.float64)
    low, high = math.floor(values.min() / STEP), math.ceil(values.max() / STEP)
    edges = np.linspace(low * STEP, max(high, low + 1) * STEP, bins + 1)
    counts = np.stack([np.histogram(gate.values.astype(np.float64), edges)[0] for gate in gates])
    return Histograms(gates=tuple(gates), edges=edges, counts=counts)


def sparkline(counts: np.ndarray) -> str:
    """Return a bar for every bin, the fullest as high as a line; an empty bin is empty."""
    fullest = max(int(counts.max()), 1)
    return "".join(" " if not count else BARS[math.ceil(count / fullest * len(BARS)) - 1] for count in counts.tolist())
