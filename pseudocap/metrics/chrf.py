"""Compare two texts by chrF (Popović 2015): the F-score of their character n-grams, as sacrebleu computes it.

It needs no words, so it serves every language: here for what is left of a caption that was translated and back.
"""

from __future__ import annotations

from collections import Counter

ORDER, BETA = 6, 2.0


def chrf(hypothesis: str, reference: str) -> float:
    """Return chrF from 0 to 1, the same as sacrebleu's sentence_chrf / 100."""
    left, right = ("".join(text.split()) for text in (hypothesis, reference))
    precision = recall = 0.0
    orders = 0
    for size in range(1, ORDER + 1):
        ours, theirs = (Counter(text[at : at + size] for at in range(len(text) - size + 1)) for text in (left, right))
        if not (ours and theirs):
            continue
        common = (ours & theirs).total()
        precision += common / ours.total()
        recall += common / theirs.total()
        orders += 1
    if not orders or precision + recall == 0:
        return 0.0
    precision, recall = precision / orders, recall / orders
    return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
