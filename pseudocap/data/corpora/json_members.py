"""Read a huge JSON object one member at a time, with no more of the file in memory than the longest of them.

The standard library reads a file at once, and objects of 10 GB take several times that in memory.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

from pseudocap.errors import DataError
from pseudocap.files.reading import NOT_UTF8

CHUNK = 1 << 20
LONGEST_MEMBER = 64 << 20


def json_members(path: Path) -> Iterator[tuple[int, str, object]]:
    """Yield the members of a file that is one JSON object, as (line, key, value)."""
    return iter(_Members(path))


def _chunks(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        with path.open("rb") as file:
            while True:
                chunk = file.read(CHUNK)
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:  # `object` begins with what was left over from the last chunk
                    at = file.tell() - len(error.object) + error.start
                    raise DataError(
                        f"{path}: byte {at + 1:,}, 0x{error.object[error.start]:02x}, {NOT_UTF8}"
                    ) from error
                if text:  # none, where a chunk ends within a character
                    yield text
                if not chunk:
                    return
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None


class _Members:
    """Hold the part of the text that is not consumed yet, which grows while a member reaches beyond it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chunks = _chunks(path)
        self._text = ""
        self._at = 0
        self._line = 1
        self._before = 0  # characters of this line that are consumed

    def __iter__(self) -> Iterator[tuple[int, str, object]]:
        decoder = json.JSONDecoder()
        self._expect("{")
        if self._peek() == "}":
            return self._finish()
        while True:
            self._peek()
            self._line, self._before = self._position(self._at)
            self._text, self._at = self._text[self._at :], 0
            line = self._line
            key = self._decode(decoder)
            if not isinstance(key, str):
                raise self._broken(0, "the name of a video is expected")
            self._expect(":")
            yield line, key, self._decode(decoder)
            if self._peek() == "}":
                return self._finish()
            self._expect(",")

    def _decode(self, decoder: json.JSONDecoder) -> object:
        self._peek()
        while True:
            try:
                value, self._at = decoder.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                # An error near the end of what is read may only mean that more must be read.
                cut = error.pos >= len(self._text) - 16 or error.msg.startswith("Unterminated string")
                if not cut or len(self._text) - self._at > LONGEST_MEMBER or not self._read():
                    raise self._broken(error.pos, error.msg) from error

    def _peek(self) -> str:
        """Return the next character that is not white space, without taking it; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._broken(self._at, f"{character!r} is expected")
        self._at += 1

    def _finish(self) -> None:
        self._expect("}")
        if self._peek():
            raise self._broken(self._at, "nothing more is expected")

    def _read(self) -> bool:
        chunk = next(self._chunks, "")
        self._text += chunk
        return bool(chunk)

    def _broken(self, at: int, problem: str) -> DataError:
        line, before = self._position(at)
        return DataError(f"{self._path}, line {line}, column {before + 1}: broken JSON: {problem}")

    def _position(self, at: int) -> tuple[int, int]:
        """Return the line of a character of the text, and how many characters of it stand before."""
        begin = self._text.rfind("\n", 0, at) + 1
        return self._line + self._text.count("\n", 0, at), at - begin + (0 if begin else self._before)
