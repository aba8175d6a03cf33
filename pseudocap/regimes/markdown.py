"""Format Markdown that people read beside a run."""

from __future__ import annotations


def table_row(*cells: str) -> str:
    """Join cells on one line, whatever their text holds."""
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"
