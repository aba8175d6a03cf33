"""A block's changes are all there or none of them, and an error names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.files.database import connected


def rows(file: Path) -> list[int]:
    with connected(file, "the answers") as database:
        return [row["x"] for row in database.execute("SELECT x FROM t")]


def write(file: Path, *statements: str) -> None:
    with connected(file, "the answers") as database:
        for statement in statements:
            database.execute(statement)


def test_what_a_block_that_failed_had_written_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    write(file, "CREATE TABLE t (x INTEGER)", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)")
    with pytest.raises(DataError, match="no such table"):
        write(file, "BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)", "INSERT INTO gone VALUES (3)")
    assert rows(file) == [1]


def test_what_is_no_database_is_one_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("no database at all, and long enough to be looked at")
    with pytest.raises(DataError, match=r"a\.sqlite: the answers cannot be read or written: .*not a database"):
        rows(tmp_path / "a.sqlite")
    with pytest.raises(DataError, match=r"gone.a\.sqlite: the answers cannot be read or written"):
        rows(tmp_path / "gone" / "a.sqlite")


def test_keys_of_other_tables_must_be_there(tmp_path: Path) -> None:
    tables = ("CREATE TABLE one (x INTEGER PRIMARY KEY)", "CREATE TABLE two (x INTEGER REFERENCES one (x))")
    with pytest.raises(DataError, match="FOREIGN KEY"):
        write(tmp_path / "a.sqlite", *tables, "INSERT INTO two VALUES (1)")
