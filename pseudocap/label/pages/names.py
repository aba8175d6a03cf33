"""Check the names of people who judge and edit."""

from __future__ import annotations

from pseudocap.errors import InputError

LONGEST = 64


def checked_name(name: object, *, field: str) -> str:
    """Return a person's name without the spaces around it; raise an error that states what a name may be."""
    plain = name.strip() if isinstance(name, str) else ""
    if not plain or len(plain) > LONGEST or not plain.isprintable():
        raise InputError(f"{field} is {repr(name)[:82]} and must be 1 to {LONGEST} printable characters")
    return plain
