"""A query of the page: what it may be, and the rows that it selects."""

from __future__ import annotations

import sqlite3

import pytest

from pseudocap.browse.query import SORTS, RowQuery
from pseudocap.errors import InputError

ROWS = [  # number, caption, its original, confidence, decision, words, when it was edited
    (1, "a dog runs", "a dog runs", 0.5, "", 3, None),
    (2, "straße", "street", None, "accepted", 1, 20),
    (3, "a dog", "a dog", 0.9, "rejected", 2, 10),
    (4, "dogs' run", "dogs' run", 0.1, "", 2, None),
]


@pytest.fixture(scope="module")
def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    columns = "number, caption, original, confidence, decision, words, edited_at, searched"
    connection.execute(f"CREATE TABLE rows ({columns})")
    connection.execute("CREATE TABLE verdicts (number, verdict)")
    connection.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)", [(*row, row[1].casefold()) for row in ROWS])
    connection.executemany("INSERT INTO verdicts VALUES (?,?)", [(1, "short"), (4, "short"), (3, "kept")])
    return connection


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"text": "DOG a"}, [1, 3]),  # all words, in any order
        ({"text": "Straße"}, [2]),
        ({"text": "' OR 1=1 --"}, []),  # text, and no SQL
        ({"text": "dogs' "}, [4]),
        ({"verdict": "short"}, [1, 4]),
        ({"decision": "undecided"}, [1, 4]),
        ({"decision": "edited"}, [2]),
        ({"low": "0.1", "high": " 0.5"}, [1, 4]),
        ({"low": "0"}, [1, 3, 4]),  # none is no number
        ({"verdict": "short", "low": "0.2"}, [1]),
        ({"sort": "confidence"}, [4, 1, 3, 2]),
        ({"sort": "-confidence"}, [3, 1, 4, 2]),
        ({"sort": "words"}, [2, 3, 4, 1]),
        ({"sort": "changed"}, [2, 3, 1, 4]),
    ],
)
def test_a_query_selects_these_rows_in_this_order(
    query: dict[str, str], expected: list[int], table: sqlite3.Connection
) -> None:
    wanted = RowQuery.of(query)
    condition, values = wanted.condition()
    found = table.execute(f"SELECT number FROM rows WHERE {condition} ORDER BY {wanted.order()}", values)
    assert [number for (number,) in found] == expected


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_is_one_of_the_table(sort: str, table: sqlite3.Connection) -> None:
    assert len(table.execute(f"SELECT 1 FROM rows ORDER BY {RowQuery(sort=sort).order()}").fetchall()) == len(ROWS)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"decision": "acepted"}, r"decision is 'acepted' .*did you mean 'accepted'"),
        ({"decision": "maybe"}, "must be one of undecided, accepted"),
        ({"sort": "number; DROP"}, "sort is 'number; DROP' and must be one of order"),
        ({"sort": "confidance"}, "did you mean 'confidence'"),
        ({"low": "many"}, "low is 'many' and must be a number"),
        ({"high": "nan"}, "high is 'nan' and must be a number"),
        ({"page": "-1"}, "page is -1 and must be at least 1"),
        ({"page": "0.5"}, "page is 0 and must be at least 1"),
    ],
)
def test_what_no_page_asks_for_is_refused_by_field(query: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RowQuery.of(query)


def test_what_an_address_leaves_out_is_as_the_page_begins() -> None:
    assert RowQuery.of({"text": "a b", "low": " 0.5", "page": "3"}) == RowQuery(text="a b", low=0.5, page=3)
