"""chrF, against sacrebleu."""

from __future__ import annotations

import pytest

from pseudocap.metrics.chrf import chrf

PAIRS = [
    ("a red ball moves", "a red ball goes"), ("ab", "a dog"), ("ein Hund läuft", "ein Hund rennt weg"),
    ("中文字", "中文"), ("x", "y"), ("a  b", "ab"), ("the same", "the same"), ("", "x"),
]  # fmt: skip


def test_the_same_text_is_one_and_nothing_in_common_is_zero() -> None:
    assert chrf("a dog runs", "a dog runs") == 1.0
    assert chrf("abc", "xyz") == 0.0
    assert chrf("", "a dog") == chrf("a dog", "") == 0.0
    assert chrf("a dog runs", "a dog ran") > chrf("a dog runs", "a cat sleeps")


@pytest.mark.parametrize(("hypothesis", "reference"), PAIRS)
def test_it_is_what_sacrebleu_computes(hypothesis: str, reference: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    assert chrf(hypothesis, reference) == pytest.approx(sacrebleu.sentence_chrf(hypothesis, [reference]).score / 100)
