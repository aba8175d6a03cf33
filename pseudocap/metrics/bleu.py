"""Compute BLEU-1..4 (Papineni et al., 2002) of a corpus, with the closest reference length, as coco-caption has it.

A corpus score is no mean of captions' scores: it is computed from sums, so those are what each video contributes.
"""

from __future__ import annotations

import numpy as np

from pseudocap.metrics.references import LOW, ORDERS, Floats, Ints, Predictions

COLUMNS = 2 * len(ORDERS) + 2  # n-grams guessed and right of each length, the length, the length to compare with
TINY, SMALL = 1e-15, 1e-9  # coco-caption's, so that a zero is its zero


def counts(predictions: Predictions) -> Floats:
    """Return what each video adds to the sums of the corpus."""
    lengths = predictions.words.lengths
    table = np.zeros((len(predictions), COLUMNS))
    for n, grams, order in zip(ORDERS, predictions.grams, predictions.references.orders, strict=True):
        shared = grams.group >= 0
        right = np.minimum(grams.times[shared], order.most[grams.group[shared]])
        table[:, n - 1] = np.maximum(lengths - n + 1, 0)
        table[:, len(ORDERS) + n - 1] = np.bincount(grams.prediction[shared], right, minlength=len(predictions))
    table[:, -2] = lengths
    table[:, -1] = _closest(predictions)
    return table


def _closest(predictions: Predictions) -> Ints:
    """Return the length of the reference nearest in length; of two equally near, the shorter."""
    references = predictions.references
    own = np.zeros(len(references), np.int64)
    own[predictions.video] = predictions.words.lengths
    theirs = references.words.lengths
    ranked = np.abs(theirs - own[references.video]) << 32 | theirs
    first = np.cumsum(references.per_video) - references.per_video
    return np.minimum.reduceat(ranked, first)[predictions.video] & LOW


def bleu(totals: Floats, n: int) -> Floats:
    """Return BLEU-n of sums of `counts`, along the last axis."""
    guessed, right = totals[..., :n], totals[..., len(ORDERS) : len(ORDERS) + n]
    precision = np.prod((right + TINY) / (guessed + SMALL), axis=-1) ** (1 / n)
    ratio = (totals[..., -2] + TINY) / (totals[..., -1] + SMALL)
    return precision * np.exp(np.minimum(0, 1 - 1 / ratio))
