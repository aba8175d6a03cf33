"""Describe the machine that ran a benchmark."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pseudocap.stages import commit
from pseudocap.version import __version__

LIBRARIES = ("torch", "lightning", "transformers", "tokenizers", "numpy", "av")


def machine() -> dict[str, Any]:
    """Describe the machine that ran it: enough to make it again, and nothing of where files lie."""
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "pseudocap": __version__,
        "commit": commit(),
        "versions": {"python": platform.python_version(), **found},
        "device": device,
        "threads": torch.get_num_threads(),
    }
