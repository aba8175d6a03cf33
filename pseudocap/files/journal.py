"""Append to a JSON Lines file that threads and processes share: each entry is complete and on disk, or not there.

journal = SharedJournal(Path("edits.jsonl"))
with journal.alone() as append:
    entries = journal.news()         # what anybody has appended since the last call
    append({"row": "a", "caption": "a dog runs"})
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pseudocap.errors import DataError, first_line
from pseudocap.files.lock import held


class SharedJournal:
    """Read and append the entries of one file. `news` begins with all that are there; a file that is not there has
    none, and is made by the first append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._lines = 0

    def news(self) -> list[dict[str, Any]]:
        """Return the entries that were appended since the last call. A last line without its end is being written."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    raise DataError(f"{self.path} has become shorter since it was read; start again")
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            if self._offset:
                raise DataError(f"{self.path} is not there any more; put it back, and start again") from None
            return []
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {first_line(error)}") from error
        lines = added[: added.rfind(b"\n") + 1].split(b"\n")[:-1]
        entries = [self._entry(line, self._lines + number) for number, line in enumerate(lines, start=1)]
        self._offset += sum(len(line) + 1 for line in lines)
        self._lines += len(lines)
        return entries

    @contextmanager
    def alone(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Hold the file alone; give what appends an entry and returns once that is on disk."""
        try:
            with held(self.path) as file:
                drop_torn_end(file)
                yield lambda entry: append_entry(file, entry)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {first_line(error)}") from error

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
            if isinstance(entry, dict):
                return entry
            problem = "it is no JSON object"
        except (ValueError, RecursionError) as error:
            problem = first_line(error)
        raise DataError(f"{self.path}, line {number} cannot be read ({problem}); repair or remove that line")


def append_entry(file: BinaryIO, entry: Mapping[str, Any]) -> None:
    """Append an entry to an unbuffered file that this process has alone, and return once it is on disk."""
    line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
    if file.write(line) != len(line):
        raise OSError("the disk is full")
    os.fsync(file.fileno())


def drop_torn_end(file: BinaryIO) -> None:
    """Remove what a writer that was killed, or had no room, left of its last line; nobody relies on that."""
    size = file.seek(0, os.SEEK_END)
    end = size
    while end:
        begin = max(0, end - 4096)
        file.seek(begin)
        if (found := file.read(end - begin).rfind(b"\n")) >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        file.truncate(end)
