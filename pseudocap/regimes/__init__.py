"""How a captioner learns: five pre-training regimes and fine-tuning, LightningModules around a PseudoCap.

They load on first use, for they bring torch and Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.regimes.asr import AsrBaseline
    from pseudocap.regimes.finetune import FineTune
    from pseudocap.regimes.image_only import ImageOnly
    from pseudocap.regimes.mixed import Mixed
    from pseudocap.regimes.mixed_ext import MixedExtended
    from pseudocap.regimes.video_only import VideoOnly

__all__ = ["AsrBaseline", "FineTune", "ImageOnly", "Mixed", "MixedExtended", "VideoOnly"]

_HOMES = {
    "AsrBaseline": "asr",
    "FineTune": "finetune",
    "ImageOnly": "image_only",
    "Mixed": "mixed",
    "MixedExtended": "mixed_ext",
    "VideoOnly": "video_only",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pseudocap.regimes' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(f"pseudocap.regimes.{_HOMES[name]}"), name)
