"""Members of a JSON object, however the file falls into chunks, are those that the standard library reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.data.corpora import json_members as module
from pseudocap.data.corpora.json_members import json_members
from pseudocap.errors import DataError

DOCUMENT = {"a": {"text": ["näh", '}"\\', "\u2028"], "start": [0, 1.5e-3, -2]}, "": [], "c": None, "d": "long " * 50}


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_chunks_of_any_size_give_the_same_members(
    chunk: int, indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(DOCUMENT, indent=indent, ensure_ascii=False), encoding="utf-8")
    found = list(json_members(path))
    assert {key: value for _, key, value in found} == DOCUMENT
    lines = path.read_text(encoding="utf-8").split("\n")
    assert all(f"{json.dumps(key)}:" in lines[line - 1] for line, key, _ in found)


@pytest.mark.parametrize("chunk", [3, 1 << 20])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1\n "b": 2}', "line 2, column 2: broken JSON: ',' is expected"),
        ('{"a": 1,\n 5: 2}', "line 2, column 2: broken JSON: the name of a video is expected"),
        ('{"a": 1}\n{}', "line 2, column 1: broken JSON: nothing more is expected"),
        ('{"a": 1, "b": 2 "c": 3}', "line 1, column 17: broken JSON: ',' is expected"),
        ("[1]", "line 1, column 1: broken JSON: '{' is expected"),
        ('{"a": "x', "line 1, column 7: broken JSON: Unterminated string"),
        ("", "line 1, column 1: broken JSON: '{' is expected"),
    ],
)
def test_what_is_broken_is_named_by_line_and_column(
    text: str, message: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        list(json_members(tmp_path / "x.json"))


def test_a_byte_that_is_no_text_is_counted_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    (tmp_path / "x.json").write_bytes(b'{"a": "na\xefve"}')
    with pytest.raises(DataError, match=r"byte 10, 0xef, is not UTF-8"):
        list(json_members(tmp_path / "x.json"))
