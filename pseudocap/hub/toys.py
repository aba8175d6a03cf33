"""Mark what a toy captioner or teacher writes, wherever its captions leave: the command line, Python, pages, the card.
It is known by its frozen networks, and so is a copy that somebody has fine-tuned."""

from __future__ import annotations

import threading
import warnings

from pseudocap.files.sources import SHIPPED_SCHEME
from pseudocap.model.config import PseudoCapConfig
from pseudocap.model.retrieval_config import RetrieverConfig
from pseudocap.model.valor_config import ValorConfig

TOYS = f"{SHIPPED_SCHEME}toy-"
NOTICE = "is a toy: it was trained on drawn films only, so its captions of real pictures and video mean nothing"
RETRIEVER_NOTICE = "is a toy: it was trained on drawn films only, so what it finds among real ones means nothing"
_warned = threading.Event()


class ToyWarning(UserWarning):
    """Warn of captions of a toy captioner."""


def is_toy(made_of: PseudoCapConfig | RetrieverConfig | ValorConfig | str) -> bool:
    """Return whether what a captioner or retriever sees or writes with, or that teacher, is a shipped toy. One that
    hears by a toy, and sees and writes by other networks, is none."""
    if isinstance(made_of, str):
        return made_of.startswith(TOYS)
    return any(each.source.startswith(TOYS) for name, each in made_of.backbones.items() if name != "audio_encoder")


def toy_notice(name: str, made_of: PseudoCapConfig | RetrieverConfig | ValorConfig | str) -> str:
    """Return the line to print beside captions or hits; nothing where they are not a toy's."""
    notice = RETRIEVER_NOTICE if isinstance(made_of, RetrieverConfig) else NOTICE
    return f"{name} {notice}" if is_toy(made_of) else ""


def warn_of_toy(notice: str, *, stacklevel: int = 4) -> None:
    """Warn whoever captions in Python, once per process; of nothing where there is no notice."""
    if notice and not _warned.is_set():
        _warned.set()
        warnings.warn(notice, ToyWarning, stacklevel=stacklevel)
