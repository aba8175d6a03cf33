"""Markdown that people read beside a run: rows of tables, and files that are whole or absent."""

from __future__ import annotations

from pathlib import Path


def table_row(*cells: str) -> str:
    """Cells on one line, whatever their text holds."""
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
