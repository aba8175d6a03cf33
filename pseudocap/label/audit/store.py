"""Store the answers of an audit in one SQLite file: the pairs that were drawn, and one row for each rater and pair.

Every call opens its own connection, so that the server's threads, two tabs, a second server and a report that runs
meanwhile share nothing but the file. A call that has returned is on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from os import PathLike
from pathlib import Path

from pseudocap.errors import DataError
from pseudocap.files.database import connected
from pseudocap.label.audit.judgement import AuditPair, Judgement

VERSION = 1
HOLDING = "the answers"

SCHEMA = """
CREATE TABLE draw (seed INTEGER NOT NULL);
CREATE TABLE pairs (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL,
    pseudolabel TEXT NOT NULL, asr TEXT NOT NULL
);
CREATE TABLE judgements (
    rater TEXT NOT NULL, pair TEXT NOT NULL REFERENCES pairs (id),
    better TEXT NOT NULL CHECK (better IN ('pseudolabel', 'asr', 'tie')),
    pseudolabel TEXT NOT NULL CHECK (pseudolabel IN ('correct', 'wrong', 'intro', 'chit-chat')),
    asr TEXT NOT NULL CHECK (asr IN ('correct', 'wrong', 'intro', 'chit-chat')),
    "left" TEXT NOT NULL CHECK ("left" IN ('pseudolabel', 'asr')),
    answered_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (rater, pair)
);
"""


def _columns(value: type) -> str:
    return ", ".join(f'"{field.name}"' for field in fields(value))


PAIR_COLUMNS, JUDGEMENT_COLUMNS = _columns(AuditPair), _columns(Judgement)


class AuditStore:
    """Store one audit: `create` starts it, `open` goes on with it."""

    def __init__(self, path: Path, *, seed: int, pairs: Sequence[AuditPair]) -> None:
        self.path = path
        self.seed = seed
        self.pairs = {pair.id: pair for pair in pairs}

    @property
    def alone(self) -> bool:
        """Return whether each text is judged alone, and not beside speech."""
        return not any(pair.asr for pair in self.pairs.values())

    @classmethod
    def create(cls, path: str | PathLike[str], *, seed: int, pairs: Sequence[AuditPair]) -> AuditStore:
        """Begin an audit of these pairs, or go on with the very same one where the file is there already."""
        file = Path(path)
        with connected(file, HOLDING) as connection:
            connection.execute("BEGIN IMMEDIATE")  # two starts at once: the second waits, then finds the first's
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in SCHEMA.split(";"):  # not executescript, which would commit first
                    connection.execute(statement)
                connection.execute("INSERT INTO draw VALUES (?)", (seed,))
                rows = [astuple(pair) for pair in pairs]
                connection.executemany(f"INSERT INTO pairs ({PAIR_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        store = cls.open(file)
        if store.seed != seed or set(store.pairs) != {pair.id for pair in pairs}:
            raise DataError(
                f"{file} holds the audit of {len(store.pairs)} other pairs (seed {store.seed}): give the labels, "
                "transcripts, --n and --seed that it was begun with, or another file as --answers"
            )
        with connected(file, HOLDING) as connection:  # the videos may have moved
            connection.executemany(
                "UPDATE pairs SET source = ? WHERE id = ?", [(pair.source, pair.id) for pair in pairs]
            )
        return cls(file, seed=seed, pairs=pairs)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> AuditStore:
        """Open an audit that was begun before."""
        file = Path(path)
        if not file.is_file():
            raise DataError(f"{file}: there are no answers here; begin with pseudocap audit LABELS --asr TRANSCRIPTS")
        with connected(file, HOLDING) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise DataError(
                    f"{file} is not an audit's file, or one of another version: its user_version is {version} and must "
                    f"be {VERSION}; name another file as --answers"
                )
            (seed,) = connection.execute("SELECT seed FROM draw").fetchone()
            rows = connection.execute(f"SELECT {PAIR_COLUMNS} FROM pairs ORDER BY rowid").fetchall()
        return cls(file, seed=seed, pairs=[AuditPair(**row) for row in rows])

    def put(self, judgement: Judgement) -> None:
        """Store an answer; a later one of the same rater to the same pair replaces it."""
        marks = ", ".join("?" * len(fields(Judgement)))
        with connected(self.path, HOLDING) as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO judgements ({JUDGEMENT_COLUMNS}) VALUES ({marks})", astuple(judgement)
            )

    def take_back(self, rater: str, pair: str) -> Judgement | None:
        """Forget an answer and return it; None where there was none."""
        with connected(self.path, HOLDING) as connection:
            rows = connection.execute(
                f"DELETE FROM judgements WHERE rater = ? AND pair = ? RETURNING {JUDGEMENT_COLUMNS}", (rater, pair)
            ).fetchall()
        return Judgement(**rows[0]) if rows else None

    def judgements(self, rater: str | None = None) -> list[Judgement]:
        """Return all answers, or one rater's, in the order in which they were given."""
        query = f"SELECT {JUDGEMENT_COLUMNS} FROM judgements WHERE :rater IS NULL OR rater = :rater ORDER BY rowid"
        with connected(self.path, HOLDING) as connection:
            return [Judgement(**row) for row in connection.execute(query, {"rater": rater})]
