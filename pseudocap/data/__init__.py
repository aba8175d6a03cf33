"""From the files of corpora to batches. The two data modules load on first use, for they bring torch and Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.data.module import CaptionData
    from pseudocap.data.stream_module import StreamData

__all__ = ["CaptionData", "StreamData"]

_HOMES = {"CaptionData": "pseudocap.data.module", "StreamData": "pseudocap.data.stream_module"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pseudocap.data' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
