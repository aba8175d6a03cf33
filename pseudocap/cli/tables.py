"""Print tables and lists that are cut short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

FIRST = 5  # of a list that may be long


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str], **look: Any
) -> None:
    """Print a table. The columns `left` hold texts, all others figures; `look` goes to rich's Table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", **look)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
