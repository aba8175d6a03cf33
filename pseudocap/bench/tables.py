"""Format Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable


def head(*columns: str) -> str:
    """Return the two lines that a table begins with."""
    return f"{row(*columns)}\n|{'---|' * len(columns)}"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    return "\n".join((head(*columns), *(row(*cells) for cells in rows)))
