"""Rows to look through, a store of them, and its server on a real port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from helpers.local_pages import running
from pseudocap.browse.rows import BrowseRow
from pseudocap.browse.server import BrowseServer
from pseudocap.browse.store import BrowseStore


def browse_row(number: int, caption: str, **more: object) -> BrowseRow:
    values = {"id": f"r{number}", "video": f"film{number}.mp4", "path": f"/films/film{number}.mp4"}
    return BrowseRow(**{**values, "start": 0.0, "end": 8.0, "caption": caption, **more})  # type: ignore[arg-type]


ROWS = (
    browse_row(0, "a red dog runs", confidence=0.5),
    browse_row(1, "a cat sleeps in the sun", confidence=0.9, verdicts=("long",)),
    browse_row(2, "dog", confidence=0.1, verdicts=("short", "word:100%_'x'")),
    browse_row(3, "", error="the file ends early"),
    browse_row(4, "ein Straßenhund", start=None, end=None, rest={"split": "val"}),
)


def filled(folder: Path, rows: Sequence[BrowseRow] = ROWS, *, index: str = "rows.sqlite") -> BrowseStore:
    """A store of rows whose changes are in `folder`/edits.jsonl."""
    store = BrowseStore(folder / index, folder / "edits.jsonl")
    store.fill(rows)
    return store


@contextmanager
def browsing(folder: Path, rows: Sequence[BrowseRow] = ROWS) -> Iterator[BrowseServer]:
    with running(BrowseServer(filled(folder, rows), editor="anna", port=0)) as server:
        yield server
