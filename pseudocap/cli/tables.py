"""Print tables and lists that are cut short."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

FIRST = 5  # of a list that may be long


def print_failures(failed: Iterable[str], count: int) -> None:
    """Print some of what failed, with its reasons, how many are left, and the way on."""
    for line in islice(failed, FIRST):
        print(f"failed: {line}", file=sys.stderr)
    rest = f"{count - FIRST:,} more failed; " if count > FIRST else ""
    print(f"{rest}fix them and run the same command with --retry-failed", file=sys.stderr)


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], *, left: Sequence[str], **look: Any
) -> None:
    """Print a table. The columns `left` hold texts, all others figures; the first stays whole, for what one copies.
    Cells are str() of what is not text already (rich's Text has a style); `look` goes to rich's Table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(title=escape(title), title_justify="left", **look)
    for number, heading in enumerate(headings):
        justify: Any = "left" if heading in left else "right"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else escape(str(cell)) for cell in row))
    Console().print(table)
