"""Pseudocap: video captioning learned from pseudolabels.

The public names load on first use, so importing the package costs milliseconds and no torch.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from pseudocap.former_names import FormerNames
from pseudocap.version import __version__

if TYPE_CHECKING:
    from pseudocap.captioner import PseudoCap
    from pseudocap.external import load
    from pseudocap.hub.manifest import list_checkpoints
    from pseudocap.memory import VideoMemory
    from pseudocap.metrics.suite import score
    from pseudocap.model.config import PseudoCapConfig

__all__ = ["PseudoCap", "PseudoCapConfig", "VideoMemory", "__version__", "list_checkpoints", "load", "score"]

_HOMES = {
    "PseudoCap": "pseudocap.captioner",
    "PseudoCapConfig": "pseudocap.model.config",
    "VideoMemory": "pseudocap.memory",
    "list_checkpoints": "pseudocap.hub.manifest",
    "load": "pseudocap.external",
    "score": "pseudocap.metrics.suite",
}

sys.meta_path.append(FormerNames())  # asked last, for modules that had other names in 0.1


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pseudocap' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
