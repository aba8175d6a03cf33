"""A rewriter of labels; as a script, a rewriting that a test may kill: `python shouting.py LABELS OUT`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from pseudocap.label.rewrite import rewrite
from pseudocap.types import Pseudolabel


class Shouting:
    """Captions in capitals, once for each language; failed rows stay."""

    def __init__(self, *languages: str, seconds: float = 0.0) -> None:
        self.settings = {"shout": list(languages)}
        self._languages, self._seconds = languages, seconds

    def rewrite(self, labels: Sequence[Pseudolabel]) -> Sequence[Sequence[Pseudolabel]]:
        time.sleep(self._seconds)
        return [
            [label]
            if label.failed
            else [replace(label, captions=(label.caption.upper(),), language=name) for name in self._languages]
            for label in labels
        ]


if __name__ == "__main__":
    rewrite(sys.argv[1], sys.argv[2], Shouting("xx", seconds=0.3))
