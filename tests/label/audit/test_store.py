"""Answers on disk: one row a rater and pair, whatever goes on beside; and the blind order that they were given in."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.audits import some_pairs

from pseudocap.errors import DataError, InputError
from pseudocap.label.audit.judgement import (
    Judgement,
    checked_rater,
    judgement_of_sides,
    left_of,
    one_of,
    order_of,
    sides_of_judgement,
)
from pseudocap.label.audit.store import AuditStore

PAIRS = some_pairs(5)
ANSWER = Judgement(
    rater="anna", pair=PAIRS[0].id, better="asr", pseudolabel="wrong", asr="chit-chat", left="pseudolabel"
)


def test_what_was_put_is_there_for_whoever_opens_the_file_later(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS)
    store.put(ANSWER)
    again = AuditStore.open(tmp_path / "a.sqlite")
    assert (again.seed, list(again.pairs.values()), again.judgements()) == (3, PAIRS, [ANSWER])


def test_a_second_answer_takes_the_place_of_the_first_and_is_the_last_given(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS)
    other = replace(ANSWER, pair=PAIRS[1].id)
    changed = replace(ANSWER, better="tie")
    for answer in (ANSWER, other, replace(ANSWER, rater="bert"), changed):
        store.put(answer)
    assert store.judgements("anna") == [other, changed]
    assert len(store.judgements()) == 3


def test_an_answer_taken_back_is_gone_and_handed_out_once(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS)
    store.put(ANSWER)
    assert store.take_back("anna", ANSWER.pair) == ANSWER
    assert store.take_back("anna", ANSWER.pair) is None
    assert store.judgements() == []


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    stores = [AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS) for _ in range(4)]
    answers = [replace(ANSWER, rater=f"r{k}", pair=pair.id) for k in range(8) for pair in PAIRS]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: stores[hash(each) % 4].put(each), answers * 2))
    assert set(stores[0].judgements()) == set(answers)
    assert len(stores[0].judgements()) == len(answers)


def test_two_that_begin_the_same_audit_at_once_begin_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        for number in range(10):
            file = tmp_path / f"{number}.sqlite"
            stores = threads.map(lambda _, file=file: AuditStore.create(file, seed=3, pairs=PAIRS), range(4))
            assert [store.pairs for store in stores] == [{pair.id: pair for pair in PAIRS}] * 4


def test_an_answer_outlives_the_process_that_is_killed_after_it(tmp_path: Path) -> None:
    AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS)
    code = (
        "import os, sys; from pseudocap.label.audit.store import AuditStore, Judgement\n"
        f"AuditStore.open({str(tmp_path / 'a.sqlite')!r}).put({ANSWER!r})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert AuditStore.open(tmp_path / "a.sqlite").judgements() == [ANSWER]


def test_the_same_audit_goes_on_where_its_videos_have_moved_to_and_another_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    AuditStore.create(file, seed=3, pairs=PAIRS).put(ANSWER)
    moved = some_pairs(5, source="elsewhere/film.mp4")
    assert AuditStore.create(file, seed=3, pairs=moved[::-1]).judgements() == [ANSWER]
    assert {pair.source for pair in AuditStore.open(file).pairs.values()} == {"elsewhere/film.mp4"}
    for seed, pairs in ((4, PAIRS), (3, PAIRS[:4])):
        with pytest.raises(DataError, match="holds the audit of 5 other pairs"):
            AuditStore.create(file, seed=seed, pairs=pairs)


def test_a_file_that_holds_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no answers here"):
        AuditStore.open(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("a text, no database, longer than a header of SQLite would be" * 10)
    with pytest.raises(DataError, match="not a database"):
        AuditStore.create(tmp_path / "text.sqlite", seed=0, pairs=PAIRS)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE other (x)")
    other.close()
    with pytest.raises(DataError, match="not an audit's file"):
        AuditStore.create(tmp_path / "other.sqlite", seed=0, pairs=PAIRS)


def test_an_answer_to_a_pair_of_another_audit_is_refused(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "a.sqlite", seed=3, pairs=PAIRS)
    with pytest.raises(DataError, match="FOREIGN KEY"):
        store.put(replace(ANSWER, pair="unknown"))


def test_order_and_sides_are_fixed_by_seed_and_rater_and_say_nothing_of_the_caption() -> None:
    pairs = [pair.id for pair in some_pairs(400)]
    order = order_of(pairs, seed=1, rater="anna")
    assert sorted(order) == sorted(pairs)
    assert order == order_of(pairs[::-1], seed=1, rater="anna")
    assert (
        len({tuple(order), tuple(order_of(pairs, seed=2, rater="anna")), tuple(order_of(pairs, seed=1, rater="b"))})
        == 3
    )
    sides = [left_of(pair, seed=1, rater="anna") for pair in pairs]
    assert 160 < sides.count("asr") < 240  # 200 on average, deviation 10
    same = sum(side == left_of(pair, seed=1, rater="bert") for pair, side in zip(pairs, sides, strict=True))
    assert 160 < same < 240


@pytest.mark.parametrize("better", ["left", "right", "tie"])
def test_what_is_said_of_sides_is_said_of_captions_and_back(better: str) -> None:
    seen = set()
    for pair in some_pairs(20):
        judgement = judgement_of_sides(rater="anna", pair=pair.id, seed=1, better=better, left="correct", right="intro")
        seen.add(judgement.left)
        assert sides_of_judgement(judgement) == {"better": better, "left": "correct", "right": "intro"}
        assert (judgement.pseudolabel == "correct") == (judgement.left == "pseudolabel")
        assert (judgement.better == judgement.left) == (better == "left")
    assert seen == {"pseudolabel", "asr"}


def test_names_and_words_that_cannot_be_right_are_refused() -> None:
    assert checked_rater(" Zoë ") == "Zoë"
    for name in ("", "  ", "x" * 65, "a\nb"):
        with pytest.raises(InputError, match="1 to 64 printable"):
            checked_rater(name)
    with pytest.raises(InputError, match="did you mean 'intro'"):
        one_of("intra", ("intro", "wrong"), field="left")
    with pytest.raises(InputError, match="left is None"):
        one_of(None, ("intro",), field="left")
