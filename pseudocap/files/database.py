"""Open an SQLite file for one call, so that threads, tabs and processes share nothing but the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pseudocap.errors import DataError, first_line

PATIENCE = 10.0  # seconds to wait for another process that writes


@contextmanager
def connected(file: Path, holding: str) -> Iterator[sqlite3.Connection]:
    """Give a connection whose changes are committed if the block ends well, and none of them otherwise.

    `holding` names what the file holds ("the answers"), for the message of an error.
    """
    try:
        connection = sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
            if connection.in_transaction:
                connection.execute("COMMIT")
        finally:
            connection.close()  # what was not committed is rolled back
    except sqlite3.Error as error:
        raise DataError(f"{file}: {holding} cannot be read or written: {first_line(error)}") from error
