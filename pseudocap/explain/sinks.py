"""Find attention sinks: positions that draw attention at every word alike, so that no word can be said to look there.

A softmax must put its weight somewhere; where a word has nothing to look at, that is a position that always will do. Of
such a position only what a word gives it above the mean over the words counts as where the word looked.
"""

from __future__ import annotations

import numpy as np

SHARE = 2.0  # times the even share, on the average over the words
WORDS = 3  # of fewer, what is the same at each of them means nothing


def find_sinks(shares: np.ndarray) -> np.ndarray:
    """Return the mean share of every sink and 0 elsewhere, [position], of the shares of a caption [word, position].

    A sink draws at least twice the even share on the average over the words, and no word gives it less than that share.
    """
    words, positions = shares.shape
    if words < WORDS:
        return np.zeros(positions, shares.dtype)
    even, usual = 1 / positions, shares.mean(axis=0)
    return np.where((usual >= SHARE * even) & (shares.min(axis=0) >= even), usual, 0)


def without_sinks(weights: np.ndarray, sinks: np.ndarray) -> np.ndarray:
    """Return what a word gives to each position [position] beyond what a sink draws anyway."""
    return np.clip(weights - sinks, 0, None)
