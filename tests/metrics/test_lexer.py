"""Check the scanner's laws: longest first, then earliest rule; what must stand behind a token is not part of it."""

from __future__ import annotations

import pytest

from pseudocap.metrics.lexer import Lexer, Match


def first(rules: list[tuple[str, str]], text: str) -> tuple[int, str] | None:
    match = Lexer(rules, {"A": "a+", "V": "aeiou".__contains__}).match(text, 0)
    return (match.rule, text[: match.end]) if match else None


def test_the_longest_match_wins_whatever_the_order_of_rules_and_alternatives() -> None:
    assert first([("a|ab|abc", ""), ("ab", "")], "abcd") == (0, "abc")
    assert first([("a", ""), ("ab", "")], "abc") == (1, "ab")


def test_of_equal_matches_the_earlier_rule_wins() -> None:
    assert first([("[a-z]+", ""), ("abc", "")], "abc") == (0, "abc")
    assert first([("abc", ""), ("[a-z]+", "")], "abc") == (0, "abc")


def test_what_stands_behind_counts_for_the_length_and_stays_in_the_text() -> None:
    rules = [("ab", "cd"), ("abc", "")]
    assert first(rules, "abcd") == (0, "ab")
    assert first(rules, "abce") == (1, "abc")


def test_the_token_takes_what_it_can_before_the_lookahead_does() -> None:
    assert first([("a+", "a*b")], "aaab") == (0, "aaa")


@pytest.mark.parametrize(
    ("pattern", "text", "taken"),
    [
        ("x{2,3}", "xxxx", "xxx"),
        ("(ab){1,2}c?", "ababc", "ababc"),
        ("[^a-c]+", "xyza", "xyz"),
        (r"[\-\]]+", "-]x", "-]"),
        (r"\[\+", "[+", "[+"),
        ("{A}{V}", "aaae", "aaae"),
        ("ks", "Kſ", "Kſ"),
        ("k", "\u212a", "\u212a"),
        ("[k]", "k", "k"),
    ],
)
def test_the_notation_means_what_it_says(pattern: str, text: str, taken: str) -> None:
    assert first([(pattern, "")], text) == (0, taken)


@pytest.mark.parametrize(("pattern", "text"), [("[k]", "K"), ("x{2,3}", "x"), ("ab", "a"), ("a", "")])
def test_what_does_not_match_gives_nothing(pattern: str, text: str) -> None:
    assert first([(pattern, "")], text) is None


def test_a_scan_may_begin_inside_the_text() -> None:
    assert Lexer([("b+", "")], {}).match("abbc", 1) == Match(rule=0, end=3)
