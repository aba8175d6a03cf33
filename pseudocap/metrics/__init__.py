"""Captions to scores, equal to coco-caption's and without its Java. `score` is the way in; numpy is all it needs."""

from pseudocap.metrics.references import References
from pseudocap.metrics.suite import Coverage, Scores, compare, score

__all__ = ["Coverage", "References", "Scores", "compare", "score"]
