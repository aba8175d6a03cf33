"""Compute CIDEr-D and CIDEr (Vedantam et al., 2015), per video. What coco-caption prints as "CIDEr" is CIDEr-D.

Both compare the n-grams of a caption, n = 1..4, weighted by how rare they are among the videos, with those of each
reference. CIDEr-D counts an n-gram no more often than the reference has it and punishes a difference in length
(sigma 6); CIDEr is the plain cosine. A perfect caption can score 10, so the value x 100 may exceed 100.
"""

from __future__ import annotations

import numpy as np

from pseudocap.metrics.references import Floats, Grams, NgramOrder, Predictions, References

SIGMA = 6.0


def cider_d(predictions: Predictions) -> Floats:
    return _cider(predictions, clipped=True)


def cider(predictions: Predictions) -> Floats:
    return _cider(predictions, clipped=False)


def _cider(predictions: Predictions, *, clipped: bool) -> Floats:
    references = predictions.references
    similarity = np.zeros(len(references.texts))
    for grams, order in zip(predictions.grams, references.orders, strict=True):
        similarity += _similarity(predictions, grams, order, clipped=clipped)
    if clipped:
        similarity *= np.exp(-(_longer_by(predictions) ** 2) / (2 * SIGMA**2))
    of_video = np.bincount(references.video, similarity, minlength=len(references))
    mean = of_video[predictions.video] / references.per_video[predictions.video]
    return mean / len(references.orders) * 10


def _similarity(predictions: Predictions, grams: Grams, order: NgramOrder, *, clipped: bool) -> Floats:
    """Compare each reference with its video's prediction, by n-grams of one length; 0 without a prediction."""
    references = predictions.references
    weight = grams.times * grams.rarity
    norm = np.sqrt(np.bincount(grams.prediction, weight**2, minlength=len(predictions)))
    shared = grams.group >= 0
    group, weight = grams.group[shared], weight[shared]
    count = order.first[group + 1] - order.first[group]
    weight = np.repeat(weight, count)
    skipped = np.cumsum(count) - count
    entry = np.arange(len(weight)) + np.repeat(order.first[group] - skipped, count)
    theirs = order.weight[entry]
    products = (np.minimum(weight, theirs) if clipped else weight) * theirs
    dot = np.bincount(order.caption[entry], products, minlength=len(references.texts))
    scale = _spread(norm, predictions)[references.video] * order.norm
    return np.divide(dot, scale, out=np.zeros(len(dot)), where=scale > 0)


def _longer_by(predictions: Predictions) -> Floats:
    """Return how many bigrams more than each reference the prediction has: the length that coco-caption compares."""
    bigrams = np.maximum(predictions.words.lengths - 1, 0).astype(float)
    theirs = np.maximum(predictions.references.words.lengths - 1, 0)
    return _spread(bigrams, predictions)[predictions.references.video] - theirs


def _spread(values: Floats, predictions: Predictions) -> Floats:
    """Return values of the predictions as values of all the references' videos."""
    spread = np.zeros(len(predictions.references))
    spread[predictions.video] = values
    return spread


def undefined(references: References) -> str:
    """Explain why CIDEr cannot be computed with these references; empty when it can."""
    if len(references) == 1:
        return "with one video every n-gram is in every video, so none has weight"
    return ""
