"""Refuse what several verbs cannot take: numbers below their bound, clips of no length, a file for a folder."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from pseudocap.errors import ConfigError


def require_at_least(args: argparse.Namespace, **bounds: int) -> None:
    """Refuse options below their bounds; those that are not given are None."""
    for name, bound in bounds.items():
        value = getattr(args, name)
        if value is not None and value < bound:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least {bound}, not {value}")


def require_clip_lengths(clip_seconds: float, min_seconds: float = 0) -> None:
    """Refuse a length of clips, or of the shortest rest, that cannot be."""
    if not 0 < clip_seconds < math.inf:
        raise ConfigError(f"--clip-seconds must be above 0, not {clip_seconds:g}")
    if not 0 <= min_seconds <= clip_seconds:
        raise ConfigError(f"--min-seconds must be from 0 to the {clip_seconds:g} s of a clip, not {min_seconds:g}")


def refuse_file(option: str, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file; name a folder")


def read_range(option: str, text: str) -> tuple[int, int | None]:
    """Read MIN:MAX of a number of actors; without MAX there is no limit."""
    least, _, most = text.partition(":")
    try:
        return int(least), int(most) if most else None
    except ValueError:
        raise ConfigError(f"{option} is {text!r} and must be MIN:MAX, such as 1:8, or 4: for no limit") from None
