"""The race of searches: exact ones miss nothing, approximate ones little, and each way answers by the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pseudocap.bench.speed.search import HEADINGS, clustered, race_search, search_table
from pseudocap.cli.main import main

pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")


@pytest.mark.slow
def test_all_ways_search_the_same_clips() -> None:
    logged: list[str] = []
    results = race_search(4000, 32, queries=20, seed=0, log=logged.append)
    recalls = {each.name: each.recall for each in results}
    assert logged == list(recalls) == ["ours, exact", "ours, IVF-PQ", "faiss, exact", "faiss, IVF-PQ"]
    assert (recalls["ours, exact"], recalls["faiss, exact"]) == (1.0, 1.0)
    assert min(recalls.values()) > 0.8
    assert all(0 < each.median <= each.slow and each.first > 0 and each.built > 0 for each in results)
    lines = search_table(results).splitlines()
    assert (len(lines), lines[0].count("|")) == (6, len(HEADINGS) + 1)


def test_vectors_have_length_one_and_neighbours() -> None:
    vectors, queries = clustered(3000, 32, queries=5, seed=1)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similar = np.sort(queries @ vectors.T, axis=1)
    assert (similar[:, -1] > similar[:, 1500] + 0.3).all()
    assert (clustered(3000, 32, queries=5, seed=1)[0] == vectors).all()


def test_the_verb_refuses_what_is_too_little_to_index(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "search", "--clips", "10"]) == 2
    assert "--clips must be at least 1000, not 10" in capsys.readouterr().err
