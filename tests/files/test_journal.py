"""Entries that threads and processes append: each complete, none lost, none read twice."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.files.journal import SharedJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edits.jsonl"


def append(journal: SharedJournal, *numbers: int) -> None:
    with journal.alone() as put:
        for number in numbers:
            put({"number": number, "text": "é\n"})


def numbers(journal: SharedJournal) -> list[int]:
    return [entry["number"] for entry in journal.news()]


def test_news_are_what_anybody_has_appended_since_the_last_call(path: Path) -> None:
    one, other = SharedJournal(path), SharedJournal(path)
    assert numbers(one) == []
    append(one, 1, 2)
    append(other, 3)
    assert numbers(one) == [1, 2, 3]
    assert numbers(one) == []
    append(other, 4)
    assert numbers(one) == [4]
    assert numbers(other) == [1, 2, 3, 4]


def test_a_line_that_a_killed_writer_left_is_neither_read_nor_in_the_way(path: Path) -> None:
    append(SharedJournal(path), 1)
    with path.open("ab") as file:
        file.write(b'{"number": 2, "te' + b"x" * 10_000)
    journal = SharedJournal(path)
    assert numbers(journal) == [1]
    append(journal, 3)
    assert numbers(journal) == [3]
    assert numbers(SharedJournal(path)) == [1, 3]


def test_an_entry_outlives_the_process_that_is_killed_after_it(path: Path) -> None:
    code = (
        "import os, pathlib; from pseudocap.files.journal import SharedJournal\n"
        f"with SharedJournal(pathlib.Path({str(path)!r})).alone() as put:\n"
        "    put({'number': 7}); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    journal = SharedJournal(path)
    append(journal, 8)  # the lock has gone with its holder
    assert numbers(journal) == [7, 8]


def test_writers_at_once_take_turns_and_see_each_other(path: Path) -> None:
    """Each appends one more than the highest so far: a turn that began before another's end would repeat a number."""

    def take_turns(_: int) -> None:
        journal, highest = SharedJournal(path), 0
        for _ in range(20):
            with journal.alone() as put:
                highest = max([highest, *numbers(journal)])
                put({"number": highest + 1})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(take_turns, range(4)))
    assert numbers(SharedJournal(path)) == list(range(1, 81))


def test_a_file_that_cannot_be_is_named_with_its_line(path: Path) -> None:
    append(SharedJournal(path), 1)
    with path.open("ab") as file:
        file.write(b"no json\n")
    with pytest.raises(DataError, match=r"edits\.jsonl, line 2 cannot be read"):
        SharedJournal(path).news()
    path.write_text("[1]\n")
    with pytest.raises(DataError, match=r"line 1 cannot be read \(it is no JSON object"):
        SharedJournal(path).news()


def test_a_file_that_shrinks_or_goes_while_it_is_open_is_noticed(path: Path) -> None:
    journal = SharedJournal(path)
    append(journal, 1, 2)
    journal.news()
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(DataError, match="has become shorter"):
        journal.news()
    path.unlink()
    with pytest.raises(DataError, match="is not there any more"):
        journal.news()


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"), SharedJournal(tmp_path / "no" / "edits.jsonl").alone():
        pass
