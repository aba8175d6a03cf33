"""The table of retrievers holds what was scored, and what was left out or allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pseudocap.bench.peers.retrieval import retrieval_document, retrieval_table
from pseudocap.data.corpora.base import Corpus, Mismatch
from pseudocap.evaluate.retriever import RetrievalTask
from pseudocap.metrics.retrieval import score_both_directions
from pseudocap.types import CaptionedVideo

ROWS = tuple(CaptionedVideo(id=name, video=name, captions=("x", "y"), split="val") for name in ("a", "b", "c"))
CORPUS = Corpus(name="films", rows=ROWS, files=(), mismatches=(Mismatch(what="videos in val", expected=4, found=3),))


def test_each_retriever_has_a_row_for_each_direction() -> None:
    task = RetrievalTask(corpus=CORPUS, paths={"a": Path(), "b": Path()}, missing=("c",))
    similarity = np.array([[1.0, 0.0], [0.2, 0.5], [0.0, 1.0], [0.0, 1.0]])
    both = score_both_directions(similarity, [0, 0, 1, 1], bootstrap=10)
    leaks = (Mismatch(what="videos of val that mine has trained on", expected=0, found=2),)
    document = retrieval_document({"ours": both}, task, {}, leaks=leaks, command="pseudocap bench", bootstrap=10)
    (found,) = document["retrievers"]
    interval = both.forward.intervals["R@1"]
    assert found["text to video"]["R@1"] == {
        "value": 75.0,
        "interval": [round(interval.low, 2), round(interval.high, 2)],
    }
    assert (found["video to text"]["MnR"]["value"], found["rsum"]["value"]) == (1.0, 575.0)
    table = "\n".join(retrieval_table(document))
    assert "4 texts and 2 videos of films val; in brackets intervals" in table
    assert "**Left out**: 1 videos that are not there, 0 that cannot be decoded." in table
    assert "**Allowed**: 3 videos in val, expected 4." in table
    assert "**Leak**: 2 videos of val that mine has trained on." in table
    assert (
        f"| ours | text to video | 75.0 ({interval.low:.1f} to {interval.high:.1f}) | 100.0 (100.0 to 100.0) |" in table
    )
    assert table.splitlines()[-1].startswith("| ours | video to text | 100.0 (100.0 to 100.0) |")
    plain = score_both_directions(similarity, [0, 0, 1, 1])
    document = retrieval_document({"ours": plain}, task, {}, command="pseudocap bench", bootstrap=0)
    assert retrieval_table(document)[-2:] == [
        "| ours | text to video | 75.0 | 100.0 | 100.0 | 1.0 | 1.2 | 575.0 |",
        "| ours | video to text | 100.0 | 100.0 | 100.0 | 1.0 | 1.0 |  |",
    ]
    assert "in brackets" not in "\n".join(retrieval_table(document))
