"""Read and check, without torch, who is to caption in `pseudocap bench model`, as typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pseudocap.errors import InputError, nearest

KINDS = ("git", "blip", "blip2")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Name who is to caption, as a value that travels to a process of its own. An empty source is transformers' default
    shape of the kind."""

    kind: str
    source: str
    device: str
    max_new_tokens: int = 32
    checkpoints: str | None = None

    @property
    def name(self) -> str:
        if not self.source:
            return f"{self.kind} (transformers' default shape)"
        source = Path(self.source).name if Path(self.source).exists() else self.source
        return f"{self.kind}: {source}"


def read_peer(text: str, *, device: str, max_new_tokens: int) -> Spec:
    """Read `git=DIR_OR_REPO`, or `git` alone."""
    kind, equals, source = text.partition("=")
    if kind not in KINDS:
        raise InputError(
            f"--peers {text}: there is no kind {kind!r}{nearest(kind, KINDS)}; there are {', '.join(KINDS)}"
        )
    if equals and not source:
        raise InputError(f"--peers {text}: name a directory or a repo after the =, or leave it out")
    return Spec(kind=kind, source=source, device=device, max_new_tokens=max_new_tokens)
