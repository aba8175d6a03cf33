"""Compute ROUGE-L (Lin, 2004) per video, as coco-caption has it: best precision and best recall of all references.

The longest common subsequence is found with one bit per word of the caption, for all references at once: a column of
the usual table is one integer, and one step of it an addition (Hyyro, 2004).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pseudocap.metrics.references import Floats, Ints, Predictions, find

BETA = 1.2


def rouge_l(predictions: Predictions) -> Floats:
    references = predictions.references
    common = _longest_common(predictions)
    columns = references.columns
    lengths = np.zeros(len(references))
    lengths[predictions.video] = predictions.tokens.lengths
    video = references.video[columns.captions]
    precision, recall = np.zeros(len(references)), np.zeros(len(references))
    np.maximum.at(precision, video, common / np.maximum(lengths[video], 1))
    np.maximum.at(recall, video, common / np.maximum(columns.lengths, 1))
    precision, recall = precision[predictions.video], recall[predictions.video]
    scale = recall + BETA**2 * precision
    return np.divide((1 + BETA**2) * precision * recall, scale, out=np.zeros(len(predictions)), where=scale > 0)


def _longest_common(predictions: Predictions) -> Ints:
    """Return the length in common with each reference, in the order of the references' columns."""
    columns, tokens = predictions.references.columns, predictions.tokens
    longest = int(tokens.lengths.max(initial=0))
    integer: Any = np.uint64 if longest <= 64 else object  # Python's own integers have as many bits as it takes
    ones = np.array((1 << max(longest, 1)) - 1, integer)
    position = tokens.lengths[tokens.caption] - tokens.ahead
    index = find(predictions.video[tokens.caption] << 32 | tokens.word, columns.video_word)
    where = np.zeros(len(columns.video_word), integer)  # of each (video, word): at which positions the caption has it
    bits = np.array([1 << shift for shift in range(longest)] or [1], integer)
    np.add.at(where, index[index >= 0], bits[position[index >= 0]])
    rest = np.full(len(columns.captions), ones)
    for pair in columns.pair:
        match = rest[: len(pair)] & where[pair]
        rest[: len(pair)] = ((rest[: len(pair)] + match) | (rest[: len(pair)] - match)) & ones
    return _ones(rest ^ ones, longest)


def _ones(values: Any, longest: int) -> Ints:
    """Count the bits that are set."""
    if values.dtype == object:
        return np.array([value.bit_count() for value in values], np.int64)
    return np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(axis=1, dtype=np.int64)
