"""Train a captioner (five pre-training regimes and fine-tuning, LightningModules around a PseudoCap), a retriever or a
VALOR.

They load on first use, for they bring torch and Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pseudocap.regimes.table import BY_CLASS

if TYPE_CHECKING:
    from pseudocap.regimes.answering import Answering
    from pseudocap.regimes.asr import AsrBaseline
    from pseudocap.regimes.finetune import FineTune
    from pseudocap.regimes.image_only import ImageOnly
    from pseudocap.regimes.mixed import Mixed
    from pseudocap.regimes.mixed_ext import MixedExtended
    from pseudocap.regimes.retrieval import Retrieval
    from pseudocap.regimes.self_critical import SelfCritical
    from pseudocap.regimes.valor import Valor
    from pseudocap.regimes.video_only import VideoOnly

__all__ = [
    "Answering",
    "AsrBaseline",
    "FineTune",
    "ImageOnly",
    "Mixed",
    "MixedExtended",
    "Retrieval",
    "SelfCritical",
    "Valor",
    "VideoOnly",
]


def __getattr__(name: str) -> object:
    if name not in BY_CLASS:
        raise AttributeError(f"module 'pseudocap.regimes' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return BY_CLASS[name].load()
