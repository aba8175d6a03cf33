"""Choose among several captions of one clip the one that agrees best with the others; its agreement is the confidence.

A teacher that makes something up rarely makes up the same twice, so what most frames' captions say is likelier seen.
Agreement is CIDEr-D against the other captions of the clip, divided by its maximum of 10; how rare an n-gram is, is
counted over all clips of the shard, however many captions each has. Where that is undefined (one clip) it is ROUGE-L.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pseudocap.metrics.cider import cider_d, undefined
from pseudocap.metrics.references import Predictions, References
from pseudocap.metrics.rouge import rouge_l


def agreements(captions: Mapping[int, Sequence[str]]) -> dict[int, list[float]]:
    """Return for every clip the agreement of each caption with the others, 0 to 1. All have two or more."""
    count = max(map(len, captions.values()), default=0)
    scores: dict[int, list[float]] = {clip: [] for clip in captions}
    for one in range(count):
        those = {clip: texts for clip, texts in captions.items() if len(texts) > one}
        references = References({clip: [*texts[:one], *texts[one + 1 :]] for clip, texts in captions.items()})
        predictions = Predictions({clip: texts[one] for clip, texts in those.items()}, references)
        values = rouge_l(predictions) if undefined(references) else cider_d(predictions) / 10
        for clip, value in zip(those, np.clip(values, 0.0, 1.0), strict=True):
            scores[clip].append(float(value))
    return scores


def medoid_first(scores: Sequence[float]) -> list[int]:
    """Return indices by agreement, the best first, the earlier of equals first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))
