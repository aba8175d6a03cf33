"""Check where a page may be written, without torch."""

from __future__ import annotations

from pathlib import Path

from pseudocap.errors import InputError

MARK = '<meta name="generator" content="pseudocap demo">'  # by which a page is known that may be replaced


def check_target(path: Path) -> None:
    """Refuse to replace anything but an earlier page of ours."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the page, {path / 'demo.html'} for instance")
    if path.is_file():
        with path.open("rb") as file:
            if MARK.encode() not in file.read(4096):
                raise InputError(f"{path} is there and is no page of this kind; name another with --out FILE")
