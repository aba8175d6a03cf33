"""Hold the rows that are looked through, and what people change of them.

Changes are entries of a journal (edits.jsonl), which is only ever appended to: who changed which version of which row,
when, from what and to what. The rows with their changes lie in an SQLite file that lasts as long as the server, so that
100,000 of them are searched, sorted and paged without being in memory; it is made anew from the rows and the journal.

A change names the version of the row that it was made on, and is refused if the row has another by then: of two tabs
that edit the same row, the second learns what the first wrote. Two servers of one journal are safe likewise.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from pseudocap.browse.query import PAGE, RowQuery
from pseudocap.browse.rows import BrowseRow
from pseudocap.errors import DataError, InputError
from pseudocap.files.database import connected
from pseudocap.files.journal import SharedJournal
from pseudocap.label.near_duplicates import kind_of
from pseudocap.label.pages.local_server import StaleError

FORMAT = 1
LONGEST = 2000  # characters of a caption
DECISIONS = ("", "accepted", "rejected")
HOLDING = "the rows"
SENT = ("id", "video", "start", "end", "still", "original", "confidence", "error", "caption", "decision", "version")

SCHEMA = """
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, video TEXT NOT NULL, path TEXT NOT NULL,
    start REAL, "end" REAL, still INTEGER NOT NULL, original TEXT NOT NULL, confidence REAL,
    verdicts TEXT NOT NULL, error TEXT NOT NULL, rest TEXT NOT NULL,
    caption TEXT NOT NULL, searched TEXT NOT NULL, words INTEGER NOT NULL,
    decision TEXT NOT NULL, version INTEGER NOT NULL, editor TEXT, edited_at TEXT
);
CREATE TABLE verdicts (verdict TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (verdict, number)) WITHOUT ROWID;
CREATE TABLE changes (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, version INTEGER NOT NULL, editor TEXT NOT NULL,
    caption TEXT NOT NULL, decision TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX changes_of_rows ON changes (id, version);
CREATE INDEX decisions ON rows (decision);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowState:
    """Hold a row as it is after its changes: a caption and a decision, by whom and when, where there is one."""

    id: str
    video: str
    start: float | None
    end: float | None
    caption: str
    original: str
    decision: str
    version: int
    editor: str | None
    edited_at: str | None
    verdicts: tuple[str, ...]
    error: str
    confidence: float | None
    rest: Mapping[str, Any]

    @property
    def edited(self) -> bool:
        """Return whether a person has changed the caption."""
        return self.caption != self.original

    @property
    def kept(self) -> bool:
        """Return whether it may be trained on: a person says so, or nobody objects and no filter does."""
        undecided = not (self.decision or self.error or self.verdicts)
        return bool(self.caption) and (self.decision == "accepted" or undecided)


class BrowseStore:
    """Store rows and changes. `index` is a file of this server alone, made by `fill`; `journal` is what lasts."""

    def __init__(self, index: Path, journal: Path) -> None:
        self.index = index
        self.journal = SharedJournal(journal)
        self.unknown = 0  # changes of rows that are not here
        self._lock = Lock()

    def fill(self, rows: Iterable[BrowseRow]) -> None:
        """Read the rows in, then the changes that were made of them before."""
        with connected(self.index, HOLDING) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # what is lost with this machine is made anew
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("BEGIN")
            numbered = enumerate(rows)
            while group := list(islice(numbered, 1000)):
                connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 19)})", map(_record, group))
                verdicts = [(verdict, number) for number, row in group for verdict in set(_filed_under(row))]
                connection.executemany("INSERT INTO verdicts VALUES (?, ?)", verdicts)
            if not connection.execute("SELECT 1 FROM rows").fetchone():
                raise DataError("there is no row to look through; label or caption something first")
        self._catch_up()

    def page(self, query: RowQuery) -> dict[str, Any]:
        """Return one page of the rows that are searched for, and what the page displays about all of them."""
        self._catch_up()
        with connected(self.index, HOLDING) as connection:
            where, values = query.condition()
            (found,) = connection.execute(f"SELECT count(*) FROM rows WHERE {where}", values).fetchone()
            pages = max(1, -(-found // PAGE))
            number = min(query.page, pages)
            # Numbers first: rows are then read by these alone, and not sorted with all that they hold.
            chosen = f"SELECT number FROM rows WHERE {where} ORDER BY {query.order()} LIMIT {PAGE} OFFSET ?"
            numbers = [row[0] for row in connection.execute(chosen, [*values, (number - 1) * PAGE])]
            marks = ", ".join("?" * len(numbers))
            rows = {
                row["number"]: row
                for row in connection.execute(f"SELECT * FROM rows WHERE number IN ({marks})", numbers)
            }
            decisions = dict(connection.execute("SELECT decision, count(*) FROM rows GROUP BY decision").fetchall())
            (edited,) = connection.execute("SELECT count(*) FROM rows WHERE caption <> original").fetchone()
            verdicts = connection.execute("SELECT verdict, count(*) FROM verdicts GROUP BY verdict").fetchall()
        return {
            "rows": [_for_page(rows[each]) for each in numbers],
            "page": number,
            "pages": pages,
            "found": found,
            "total": sum(decisions.values()),
            "accepted": decisions.get("accepted", 0),
            "rejected": decisions.get("rejected", 0),
            "edited": edited,
            "verdicts": [list(row) for row in verdicts],
        }

    def count(self) -> int:
        """Count the rows."""
        return self._number_of("1")

    def failed_files(self) -> int:
        """Count the rows that stand for a file without a clip: there is nothing to caption."""
        return self._number_of("start IS NULL AND error <> ''")

    def changes(self) -> int:
        """Count the rows that are not as they were read: edited, accepted or rejected."""
        self._catch_up()
        return self._number_of("caption <> original OR decision <> ''")

    def row(self, row_id: str) -> sqlite3.Row | None:
        """Return a row as it is stored; None where there is none of this id."""
        with connected(self.index, HOLDING) as connection:
            found: sqlite3.Row | None = connection.execute("SELECT * FROM rows WHERE id = ?", (row_id,)).fetchone()
        return found

    def states(self, *, changed: bool = False) -> Iterator[RowState]:
        """Yield the rows in their order, all or those that have changes."""
        self._catch_up()
        with connected(self.index, HOLDING) as connection:
            for row in connection.execute(
                f"SELECT * FROM rows {'WHERE version > 0' if changed else ''} ORDER BY number"
            ):
                yield _state(row)

    def change(
        self, row_id: str, version: int, *, editor: str, caption: str | None = None, decision: str | None = None
    ) -> dict[str, Any]:
        """Change a row of this version: its caption, which accepts it unless another decision is given, or the decision
        alone. Return the row as the page displays it."""
        with self._lock, self.journal.alone() as append:
            self._apply_news()
            row = self._current(row_id, version)
            if row["start"] is None and row["error"]:
                raise InputError(f"{row['video']} gave no clip ({row['error']}), so there is nothing to caption")
            text = row["caption"] if caption is None else checked_caption(caption)
            decided = decision if decision is not None else "accepted" if caption is not None else row["decision"]
            if decided == "accepted" and not text:
                raise InputError("this row has no caption to accept; write one")
            if (text, decided) != (row["caption"], row["decision"]):
                append(_entry(row, editor, caption=text, decision=decided))
                self._apply_news()
        return self._displayed(row_id)

    def undo(self, editor: str) -> dict[str, Any]:
        """Take back the last change of this person that is not taken back yet, by another change."""
        with self._lock, self.journal.alone() as append:
            self._apply_news()
            with connected(self.index, HOLDING) as connection:
                latest = "SELECT * FROM changes WHERE NOT undone AND {} ORDER BY position DESC LIMIT 1"
                last = connection.execute(latest.format("editor = ?"), (editor,)).fetchone()
                if last is None:
                    raise InputError(f"{editor} has changed nothing that could be undone")
                on_row = connection.execute(latest.format("id = ?"), (last["id"],)).fetchone()
            row = self._current(last["id"])
            if on_row["position"] != last["position"]:
                problem = f"{on_row['editor']} has changed the row since, so that your change cannot be undone"
                raise StaleError(problem, {"row": _for_page(row)})
            before = {"caption": last["caption"], "decision": last["decision"]}
            append({**_entry(row, editor, **before), "undoes": last["version"]})
            self._apply_news()
        return self._displayed(row["id"])

    def _number_of(self, where: str) -> int:
        with connected(self.index, HOLDING) as connection:
            return int(connection.execute(f"SELECT count(*) FROM rows WHERE {where}").fetchone()[0])

    def _current(self, row_id: str, version: int | None = None) -> sqlite3.Row:
        row = self.row(row_id)
        if row is None:
            raise InputError(f"there is no row {row_id!r:.40}")
        if version is not None and version != row["version"]:
            now = ", ".join(filter(None, (row["decision"], f"“{row['caption']}”")))
            problem = f"{row['editor']} has changed this row meanwhile; it is now {now}"
            raise StaleError(problem, {"row": _for_page(row)})
        return row

    def _displayed(self, row_id: str) -> dict[str, Any]:
        return {"row": _for_page(self._current(row_id))}

    def _catch_up(self) -> None:
        """Apply what another server of the same journal has written."""
        with self._lock:
            self._apply_news()

    def _apply_news(self) -> None:
        """Apply what the journal has gained to the rows."""
        entries = self.journal.news()
        if not entries:
            return
        with connected(self.index, HOLDING) as connection:
            connection.execute("BEGIN")
            for entry in entries:
                self._apply_one(connection, entry)

    def _apply_one(self, connection: sqlite3.Connection, entry: Mapping[str, Any]) -> None:
        try:
            if entry["format"] != FORMAT:
                raise DataError(
                    f"{self.journal.path} has changes of format {entry['format']}, and this pseudocap reads {FORMAT}; "
                    "name another folder with --out"
                )
            row_id, version, before, after = entry["row"], int(entry["version"]), entry["before"], entry["after"]
            changed = (after["caption"], _searched(after["caption"], entry["video"]), len(after["caption"].split()))
            who = (after["decision"], version, entry["who"], entry["when"])
            done = connection.execute(
                "UPDATE rows SET caption = ?, searched = ?, words = ?, decision = ?, version = ?, editor = ?, "
                "edited_at = ? WHERE id = ?",
                (*changed, *who, row_id),
            )
            self.unknown += not done.rowcount
            if "undoes" in entry:
                connection.execute(
                    "UPDATE changes SET undone = 1 WHERE id = ? AND version = ?", (row_id, entry["undoes"])
                )
            elif done.rowcount:
                was = (row_id, version, entry["who"], before["caption"], before["decision"])
                connection.execute(
                    "INSERT INTO changes (id, version, editor, caption, decision) VALUES (?, ?, ?, ?, ?)", was
                )
        except DataError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{self.journal.path} has an entry that is no change of a row ({error!r:.80}); name another folder "
                "with --out"
            ) from error


def checked_caption(text: object) -> str:
    """Return a caption with every run of white space made one space; refuse what is none."""
    plain = " ".join(text.split()) if isinstance(text, str) else ""
    if not plain:
        raise InputError("a caption has at least one word; to leave a row out, reject it")
    if len(plain) > LONGEST:
        raise InputError(f"the caption has {len(plain):,} characters and may have {LONGEST:,}")
    if odd := next((mark for mark in plain if unicodedata.category(mark) in ("Cc", "Cs")), None):
        raise InputError(f"the caption has the character U+{ord(odd):04X}, which is no text")
    return plain


def _record(numbered: tuple[int, BrowseRow]) -> tuple[object, ...]:
    number, row = numbered
    clip = (number, row.id, _text(row.video), _text(row.path), row.start, row.end, row.still)
    found = (_text(row.caption), row.confidence, json.dumps(row.verdicts), row.error, json.dumps(dict(row.rest)))
    caption = (_text(row.caption), _searched(row.caption, row.video), len(row.caption.split()))
    return (*clip, *found, *caption, "", 0, None, None)


def _text(text: str) -> str:
    """Return text that SQLite can hold: a file's name may be no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _searched(caption: str, video: str) -> str:
    return _text(f"{caption}\n{video}".casefold())


def _filed_under(row: BrowseRow) -> Iterator[str]:
    yield from map(kind_of, row.verdicts)
    if row.error:
        yield "failed"
    elif not row.verdicts:
        yield "kept"


def _entry(row: sqlite3.Row, editor: str, *, caption: str, decision: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "row": row["id"],
        "version": row["version"] + 1,
        "who": editor,
        "when": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{name: row[name] for name in ("video", "start", "end")},
        "before": {name: row[name] for name in ("caption", "decision")},
        "after": {"caption": caption, "decision": decision},
    }


def _for_page(row: sqlite3.Row) -> dict[str, Any]:
    changed = {"editor": row["editor"], "editedAt": row["edited_at"]}
    return {**{name: row[name] for name in SENT}, **changed, "verdicts": json.loads(row["verdicts"])}


def _state(row: sqlite3.Row) -> RowState:
    stored = {field.name: row[field.name] for field in fields(RowState)}
    return RowState(**{**stored, "verdicts": tuple(json.loads(row["verdicts"])), "rest": json.loads(row["rest"])})
