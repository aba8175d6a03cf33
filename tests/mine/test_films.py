"""Videos are chosen by what is known of them; what is not known excludes nothing."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.mine.films import FilmFacts, FilmFilter, read_facts

DAY = date(2026, 11, 30)


def objection(**facts: object) -> str:
    known = {"films/a.mp4": FilmFacts(**facts)}  # type: ignore[arg-type]
    return FilmFilter(facts=known, day=DAY).objection("films/a.mp4")


def test_the_papers_bounds() -> None:
    assert objection(seconds=1199.0, views=1001.0, uploaded=date(2026, 9, 1)) == ""
    assert objection(seconds=1200.0) == "too long"
    assert objection(views=1000.0) == "too few views"
    assert objection(uploaded=date(2026, 9, 2)) == "too new"
    assert objection(uploaded=date(2016, 11, 1)) == "too old"
    assert objection() == ""


def test_zero_switches_a_bound_off() -> None:
    facts = {"a": FilmFacts(seconds=1e6, views=0.0, uploaded=date(1990, 1, 1))}
    off = {"max_minutes": 0.0, "min_views": 0.0, "min_age_days": 0.0, "max_age_years": 0.0}
    for name, reason in (("max_minutes", "too long"), ("max_age_years", "too old")):
        bounds = {**off, name: 10.0}
        assert FilmFilter(facts=facts, day=DAY, **bounds).objection("a") == reason
    assert FilmFilter(facts=facts, day=DAY, **off).objection("a") == ""
    tomorrow = {"a": FilmFacts(uploaded=date(2026, 12, 1))}
    assert FilmFilter(facts=tomorrow, day=DAY, **off).objection("a") == ""
    assert FilmFilter(facts=tomorrow, day=DAY).objection("a") == "too new"


def test_facts_are_found_by_name_file_or_stem(tmp_path: Path) -> None:
    table = tmp_path / "facts.csv"
    table.write_text("video,seconds,views,uploaded,category\nabc,30,,20210531,food\nfilms/d.mp4,,5,2021-05-31,\n")
    facts = read_facts(table)
    assert facts["abc"] == FilmFacts(seconds=30.0, uploaded=date(2021, 5, 31), category="food")
    chosen = FilmFilter(facts=facts, day=DAY)
    assert chosen.known("00000.tar/abc.mp4") == facts["abc"]
    assert chosen.objection("films/d.mp4") == "too few views"
    assert chosen.known("other.mp4") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,view\na,3\n", "line 2: unknown field 'view' \\(did you mean 'views'"),
        ("video,views\na,many\n", "views is 'many' and must be a number"),
        ("video,uploaded\na,May\n", "uploaded is 'May' and must be a day such as 2021-05-31"),
        ("name,views\na,3\n", "the field 'video' is missing"),
    ],
)
def test_mistakes_name_their_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "facts.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_facts(tmp_path / "facts.csv")
    with pytest.raises(DataError, match=r"must be a \.csv or \.jsonl"):
        read_facts(tmp_path / "facts.txt")
