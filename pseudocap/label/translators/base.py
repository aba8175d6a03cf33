"""Define translators, and find the one that a name stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pseudocap.errors import CheckpointError, nearest
from pseudocap.files.sources import is_directory

APERTIUM = "apertium"


class Translator(Protocol):
    """Translate texts from one language into another. `settings` are what a translation depends on beside the text."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    @property
    def settings(self) -> Mapping[str, object]: ...

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Return a translation of each text, which depends on that text and on its batch's padding alone."""


def load_translator(
    name: str, *, source: str, target: str, batch_size: int = 32, beams: int = 4, device: str = "cpu"
) -> Translator:
    """Return the translator of that name between two languages, by their codes; `source` is translated from."""
    if name == APERTIUM:
        from pseudocap.label.translators.apertium import Apertium

        return Apertium(source=source, target=target)
    if "/" not in name and not is_directory(name):
        raise CheckpointError(
            f"there is no translator {name!r}{nearest(name, [APERTIUM])}; name {APERTIUM}, a directory, or a "
            "repo of the hub, owner/name"
        )
    from pseudocap.label.translators.seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(name, source=source, target=target, batch_size=batch_size, beams=beams, device=device)
