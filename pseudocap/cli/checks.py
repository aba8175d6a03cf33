"""Refuse what several verbs cannot take: numbers below their bound, a file where a folder is meant."""

from __future__ import annotations

import argparse
from pathlib import Path

from pseudocap.errors import ConfigError


def require_at_least(args: argparse.Namespace, **bounds: int) -> None:
    """Refuse options below their bounds; those that are not given are None."""
    for name, bound in bounds.items():
        value = getattr(args, name)
        if value is not None and value < bound:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least {bound}, not {value}")


def refuse_file(option: str, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file; name a folder")
