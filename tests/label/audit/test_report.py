"""The figures of an audit against other implementations and against what they must be by their definition."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.audits import some_pairs, write_colours

from pseudocap.errors import DataError
from pseudocap.label.audit.judgement import BETTER, KINDS, Judgement
from pseudocap.label.audit.report import QUESTIONS, agreement, cohen, figures, judged_pairs, report_of, wilson
from pseudocap.label.audit.report_page import write_report_page
from pseudocap.label.audit.store import AuditStore


def answer(pair: int, **changes: str) -> Judgement:
    given = Judgement(
        rater="anna", pair=f"{pair:016x}", better="pseudolabel", pseudolabel="correct", asr="wrong", left="asr"
    )
    return replace(given, **changes)


def shares(judgements: list[Judgement]) -> dict[str, float]:
    return {figure.name: figure.share for figure in figures(judgements)}


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # SciPy 1.17.1: binomtest(count, of).proportion_ci(method="wilson"), in percent
        (45, 100, 35.61453798, 54.75539700),
        (13, 100, 7.75716743, 20.98035144),
        (42, 100, 32.79838267, 51.79351330),
        (88, 100, 80.18790057, 93.00059356),
        (65, 100, 55.25444330, 73.63575176),
        (0, 10, 0.00000000, 27.75327999),
        (10, 10, 72.24672001, 100.00000000),
        (1, 3, 6.14919447, 79.23403992),
    ],
)
def test_wilsons_intervals_are_those_of_scipy(count: int, of: int, low: float, high: float) -> None:
    assert wilson(count, of) == pytest.approx((low, high), abs=1e-7)


def test_an_interval_ends_where_the_score_test_rejects() -> None:
    for count, of in ((3, 17), (45, 100), (499, 500)):
        for bound in wilson(count, of):
            p = bound / 100
            assert abs(count / of - p) / np.sqrt(p * (1 - p) / of) == pytest.approx(1.959964, abs=1e-5)


def test_the_interval_of_a_share_that_thirds_add_up_to_stays_within_all() -> None:
    assert wilson(sum([1 / 3] * 3 * 7) + 1e-9, 7) == pytest.approx(wilson(7, 7))


def test_the_papers_own_counts_give_the_papers_figures() -> None:
    kinds = ["correct"] * 20 + ["wrong"] * 25 + ["intro"] * 13 + ["chit-chat"] * 42
    judgements = [
        answer(k, asr=kind, pseudolabel="correct" if k < 88 else "wrong", better="pseudolabel" if k < 65 else "asr")
        for k, kind in enumerate(kinds)
    ]
    for figure in figures(judgements):
        if figure.papers is not None:
            assert figure.share == pytest.approx(figure.papers)
            assert figure.low < figure.share < figure.high
    assert sum(question.papers is not None for question in QUESTIONS) == 5


def test_the_kinds_of_speech_and_the_preferences_add_up_to_all() -> None:
    rng = np.random.default_rng(0)
    judgements = [answer(k, asr=str(rng.choice(KINDS)), better=str(rng.choice(BETTER))) for k in range(37)]
    found = shares(judgements)
    assert found["asr_refers"] + found["asr_intro"] + found["asr_chit_chat"] == pytest.approx(100)
    assert found["pseudolabel_better"] + found["asr_better"] + found["tie"] == pytest.approx(100)
    assert found["asr_correct"] <= found["asr_refers"]


def test_a_clip_counts_once_however_many_judged_it() -> None:
    one = [answer(0, better="asr"), answer(1)]
    many = [*one, *(answer(0, better="asr", rater=f"r{k}") for k in range(9))]
    assert shares(many) == pytest.approx(shares(one))
    split = [answer(0), answer(0, rater="bert", better="asr"), answer(1)]
    assert shares(split)["pseudolabel_better"] == pytest.approx(75)
    assert figures(split)[0].low == pytest.approx(wilson(2, 2)[0])


def naive_kappa(answers: list[tuple[str, str]]) -> float:
    """Cohen's kappa from the table of counts, as the textbook has it."""
    words = sorted({word for pair in answers for word in pair})
    table = np.zeros((len(words), len(words)))
    for one, other in answers:
        table[words.index(one), words.index(other)] += 1
    table /= table.sum()
    expected = np.outer(table.sum(1), table.sum(0))
    return float((np.trace(table) - np.trace(expected)) / (1 - np.trace(expected)))


def test_kappa_is_the_textbooks() -> None:
    # 20 and 15 agreed, 5 and 10 not: agreement 0.7, by chance 0.5
    table = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen(table) == pytest.approx(0.4)
    rng = np.random.default_rng(1)
    for _ in range(20):
        answers = [(str(a), str(b)) for a, b in zip(rng.choice(KINDS, 30), rng.choice(KINDS, 30), strict=True)]
        assert cohen(answers) == pytest.approx(naive_kappa(answers))


def test_kappa_is_one_for_twins_and_undefined_where_nothing_varies() -> None:
    assert cohen([("a", "a"), ("b", "b")]) == 1
    assert cohen([("a", "a")] * 9) is None
    assert cohen([]) is None


def test_two_raters_are_compared_on_the_clips_that_both_judged() -> None:
    ours = [answer(k, asr="intro" if k % 2 else "wrong") for k in range(6)]
    theirs = [replace(each, rater="bert") for each in ours[2:5]] + [answer(9, rater="bert")]
    found = agreement(ours, theirs, "asr")
    assert (found.raters, found.clips, found.agreed, found.kappa) == (("anna", "bert"), 3, 100, 1)
    apart = agreement(ours, [answer(9, rater="bert")], "asr")
    assert (apart.clips, apart.agreed, apart.kappa) == (0, None, None)


def test_a_report_covers_every_rater_and_every_two_and_shows_who_follows_the_place(tmp_path: Path) -> None:
    store = AuditStore.create(tmp_path / "a.sqlite", seed=1, pairs=some_pairs(4))
    with pytest.raises(DataError, match="no answer yet to its 4 pairs"):
        report_of(store)
    for rater in ("anna", "bert", "carl"):
        store.put(answer(0, rater=rater, better="asr", left="asr"))
    store.put(answer(1, better="pseudolabel", left="asr"))
    store.put(answer(2, better="tie"))
    report = report_of(store)
    assert (report.pairs, report.clips, report.judgements) == (4, 3, 5)
    assert report.judged_by == {"anna": 3, "bert": 1, "carl": 1}
    assert len(report.agreements) == 3 * 3
    assert report.left == 75


def test_the_page_of_a_report_needs_nothing_beside_itself_and_quotes_everything(tmp_path: Path) -> None:
    film = write_colours(tmp_path / "film.mp4", seconds=2)
    pairs = [replace(some_pairs(1)[0], source=str(film), asr="<script>alert(1)</script>"), some_pairs(2)[1]]
    store = AuditStore.create(tmp_path / "a.sqlite", seed=1, pairs=pairs)
    store.put(answer(0, rater="<b>anna"))
    store.put(answer(0, rater="bert", better="tie"))
    write_report_page(tmp_path / "r.html", report_of(store), judged_pairs(store))
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1  # the other film is not there, and the page says so
    assert "there is no such file" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert not re.findall(r"(?:src|href)='(?!data:)|(?:src|href)=[^']|url\(|@import", page)
    assert list(tmp_path.glob(".*")) == []
