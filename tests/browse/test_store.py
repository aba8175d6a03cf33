"""Rows and their changes: found, changed by version, undone, and there again for whoever opens them later."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.browsing import ROWS, browse_row, filled

from pseudocap.browse.query import PAGE, RowQuery
from pseudocap.browse.store import BrowseStore
from pseudocap.errors import DataError, InputError
from pseudocap.label.pages.local_server import StaleError


@pytest.fixture
def store(tmp_path: Path) -> BrowseStore:
    return filled(tmp_path)


def found(store: BrowseStore, **query: object) -> list[str]:
    return [row["id"] for row in store.page(RowQuery(**query))["rows"]]  # type: ignore[arg-type]


def captions(store: BrowseStore) -> dict[str, tuple[str, str]]:
    return {state.id: (state.caption, state.decision) for state in store.states()}


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "edits.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "r0 r1 r2 r3 r4"),
        ({"text": "DOG"}, "r0 r2"),
        ({"text": "runs dog"}, "r0"),
        ({"text": "STRASSENHUND"}, "r4"),
        ({"text": "film3"}, "r3"),
        ({"text": "100%"}, ""),
        ({"verdict": "kept"}, "r0 r4"),
        ({"verdict": "failed"}, "r3"),
        ({"verdict": "short"}, "r2"),
        ({"verdict": "word:100%_'x'"}, "r2"),
        ({"low": 0.5}, "r0 r1"),
        ({"low": 0.2, "high": 0.6}, "r0"),
        ({"sort": "confidence"}, "r2 r0 r1 r3 r4"),
        ({"sort": "-confidence"}, "r1 r0 r2 r3 r4"),
        ({"sort": "words"}, "r3 r2 r4 r0 r1"),
        ({"sort": "-words", "text": "dog"}, "r0 r2"),
        ({"sort": "caption", "verdict": "kept"}, "r0 r4"),
        ({"decision": "undecided", "verdict": "long"}, "r1"),
        ({"decision": "accepted"}, ""),
    ],
)
def test_rows_are_searched_filtered_and_sorted(store: BrowseStore, query: dict[str, object], ids: str) -> None:
    assert found(store, **query) == ids.split()


@pytest.mark.parametrize("count", [5000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_pages_of_many_rows_hold_each_row_once_in_its_order(tmp_path: Path, count: int) -> None:
    store = filled(tmp_path, [browse_row(k, f"row {k % 7}", confidence=k % 1000 / 1000) for k in range(count)])
    first = store.page(RowQuery(sort="confidence"))
    assert (first["found"], first["pages"], len(first["rows"])) == (count, count // PAGE, PAGE)
    assert [row["id"] for row in first["rows"]][:5] == [f"r{1000 * k}" for k in range(5)]
    pages = (1, 2, count // PAGE // 2, count // PAGE)
    ids = [row["id"] for page in pages for row in store.page(RowQuery(sort="words", page=page))["rows"]]
    assert ids == [f"r{k}" for page in pages for k in range(PAGE * page - PAGE, PAGE * page)]
    last = store.page(RowQuery(text=f"row film{count - 1}", page=10**9))
    assert (last["page"], last["pages"], [row["id"] for row in last["rows"]]) == (1, 1, [f"r{count - 1}"])


def test_a_change_is_a_line_that_says_who_when_and_from_what_to_what(tmp_path: Path, store: BrowseStore) -> None:
    answer = store.change("r0", 0, editor="anna", caption="  a brown\n dog runs ")["row"]
    assert (answer["caption"], answer["decision"], answer["version"]) == ("a brown dog runs", "accepted", 1)
    (entry,) = entries(tmp_path)
    assert entry.pop("when") == answer["editedAt"]
    assert entry == {
        "format": 1,
        "row": "r0",
        "version": 1,
        "who": "anna",
        "video": "film0.mp4",
        "start": 0.0,
        "end": 8.0,
        "before": {"caption": "a red dog runs", "decision": ""},
        "after": {"caption": "a brown dog runs", "decision": "accepted"},
    }
    assert found(store, text="brown") == found(store, decision="edited") == found(store, decision="accepted") == ["r0"]
    assert found(store, text="red") == []
    assert found(store, sort="changed")[0] == "r0"


def test_what_was_changed_is_there_for_whoever_opens_it_later(tmp_path: Path, store: BrowseStore) -> None:
    store.change("r0", 0, editor="anna", decision="rejected")
    store.change("r2", 0, editor="bert", caption="a dog barks")
    store.change("r0", 1, editor="bert", decision="")
    assert captions(filled(tmp_path, index="again.sqlite")) == captions(store)
    assert captions(store)["r2"] == ("a dog barks", "accepted")
    again = filled(tmp_path, ROWS[1:], index="others.sqlite")
    assert again.unknown == 2  # of r0


def test_of_two_tabs_the_second_is_refused_and_gets_the_row_as_it_is(tmp_path: Path, store: BrowseStore) -> None:
    store.change("r0", 0, editor="anna", caption="a brown dog runs")
    with pytest.raises(
        StaleError, match=r"anna has changed this row meanwhile; it is now accepted, “a brown dog"
    ) as stale:
        store.change("r0", 0, editor="bert", caption="a black dog runs")
    assert stale.value.current["row"]["caption"] == "a brown dog runs"
    assert len(entries(tmp_path)) == 1
    store.change("r0", stale.value.current["row"]["version"], editor="bert", caption="a black dog runs")
    assert captions(store)["r0"] == ("a black dog runs", "accepted")


def test_two_servers_of_the_same_changes_see_each_other(tmp_path: Path, store: BrowseStore) -> None:
    other = filled(tmp_path, index="other.sqlite")
    store.change("r1", 0, editor="anna", decision="accepted")
    with pytest.raises(StaleError):
        other.change("r1", 0, editor="bert", decision="rejected")
    assert found(other, decision="accepted") == ["r1"]


def test_many_at_once_change_every_version_once(tmp_path: Path, store: BrowseStore) -> None:
    stores = [store, filled(tmp_path, index="other.sqlite")]

    def write(number: int) -> int:
        refused = 0
        while True:
            try:
                mine = stores[number % 2]
                version = mine.page(RowQuery())["rows"][0]["version"]
                mine.change("r0", version, editor=f"e{number}", caption=f"caption {number}")
                return refused
            except StaleError:
                refused += 1

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(18)))
    assert [entry["version"] for entry in entries(tmp_path)] == list(range(1, 19))
    assert Counter(entry["who"] for entry in entries(tmp_path)).most_common(1)[0][1] == 1
    before, after = ([entry[side]["caption"] for entry in entries(tmp_path)] for side in ("before", "after"))
    assert before[1:] == after[:-1]


def test_undo_takes_ones_own_changes_back_one_by_one_and_is_a_change_itself(tmp_path: Path, store: BrowseStore) -> None:
    store.change("r0", 0, editor="anna", decision="accepted")
    store.change("r0", 1, editor="anna", caption="a brown dog")
    store.change("r1", 0, editor="bert", decision="rejected")
    assert store.undo("anna")["row"]["caption"] == "a red dog runs"
    assert captions(store)["r0"] == ("a red dog runs", "accepted")
    again = filled(tmp_path, index="again.sqlite")  # what is undone is known after a restart too
    row = again.undo("anna")["row"]
    assert (row["id"], row["decision"], row["version"]) == ("r0", "", 4)
    with pytest.raises(InputError, match="anna has changed nothing that could be undone"):
        store.undo("anna")
    assert captions(store)["r1"] == ("a cat sleeps in the sun", "rejected")
    assert [entry.get("undoes") for entry in entries(tmp_path)] == [None, None, None, 2, 1]


def test_what_another_has_changed_since_is_not_undone(store: BrowseStore) -> None:
    store.change("r0", 0, editor="anna", caption="a brown dog")
    store.change("r0", 1, editor="bert", caption="a black dog")
    with pytest.raises(StaleError, match="bert has changed the row since") as stale:
        store.undo("anna")
    assert stale.value.current["row"]["caption"] == "a black dog"
    store.undo("bert")
    assert store.undo("anna")["row"]["caption"] == "a red dog runs"


def test_what_is_no_caption_is_refused_and_no_change_is_no_entry(tmp_path: Path, store: BrowseStore) -> None:
    for change, complaint in (
        ({"caption": " \n"}, "reject it"),
        ({"caption": 7}, "at least one word"),
        ({"caption": "x" * 2001}, "2,001 characters"),
        ({"caption": "a\x00b"}, r"U\+0000"),
        ({"caption": "a \ud800"}, r"U\+D800"),
    ):
        with pytest.raises(InputError, match=complaint):
            store.change("r0", 0, editor="anna", **change)
    with pytest.raises(InputError, match="no caption to accept"):
        store.change("r3", 0, editor="anna", decision="accepted")
    with pytest.raises(InputError, match="there is no row 'r9'"):
        store.change("r9", 0, editor="anna", decision="accepted")
    store.change("r0", 0, editor="anna", decision="")
    assert not (tmp_path / "edits.jsonl").read_text()
    store.change("r3", 0, editor="anna", caption="a dog \N{DOG FACE}\u200d, 2\N{MICRO SIGN}m")
    lost = filled(tmp_path, [browse_row(9, "", error="broken", start=None, end=None)], index="lost.sqlite")
    with pytest.raises(InputError, match="gave no clip"):
        lost.change("r9", 0, editor="anna", caption="a dog")


def test_a_change_outlives_the_process_that_is_killed_after_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; sys.path[:0] = ['tests']\n"
        "from helpers.browsing import filled\n"
        f"filled(pathlib.Path({str(tmp_path)!r})).change('r0', 0, editor='anna', decision='rejected')\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == -9
    assert captions(filled(tmp_path, index="again.sqlite"))["r0"][1] == "rejected"


def test_a_journal_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no row"):
        filled(tmp_path, [])
    for number, (line, complaint) in enumerate((('{"format": 2}', "format 2"), ('{"a": 1}', "no change of a row"))):
        (tmp_path / "edits.jsonl").write_text(line + "\n")
        with pytest.raises(DataError, match=complaint):
            filled(tmp_path, index=f"{number}.sqlite")
