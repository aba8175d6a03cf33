"""Turn the files of corpora into batches. The two data modules load on first use: they import torch and Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.data.caption_data import CaptionData
    from pseudocap.data.stream_data import StreamData

__all__ = ["CaptionData", "StreamData"]

_HOMES = {"CaptionData": "pseudocap.data.caption_data", "StreamData": "pseudocap.data.stream_data"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pseudocap.data' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
