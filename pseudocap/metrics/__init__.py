"""Score captions with coco-caption's values and without its Java. `score` is the entry point; it needs numpy only."""

from pseudocap.metrics.references import References
from pseudocap.metrics.suite import Coverage, Scores, compare, score

__all__ = ["Coverage", "References", "Scores", "compare", "score"]
