"""Check retrieval scores against a naive implementation, their intervals, their ties, and the memory that they take."""

from __future__ import annotations

import statistics
import subprocess
import sys

import numpy as np
import pytest
import torch

from pseudocap.errors import DataError
from pseudocap.metrics import retrieval
from pseudocap.metrics.retrieval import NAMES, Products, retrieval_scores, score_both_directions


def naive(similarity: np.ndarray, relevant: list[set[int]]) -> dict[str, float]:
    """Score by sorting each row in plain Python, the wrong items first among equals."""
    ranks = []
    for row, right in zip(similarity.tolist(), relevant, strict=True):
        ranked = sorted(range(len(row)), key=lambda item, row=row, right=right: (-row[item], item in right))
        ranks.append(1 + min(ranked.index(item) for item in right))
    recalls = {f"R@{k}": 100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
    return recalls | {"MedR": statistics.median(ranks), "MnR": statistics.fmean(ranks)}


def made_up(queries: int = 90, items: int = 40, *, coarse: bool = False) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(queries, items))
    return np.round(values) if coarse else values.astype(np.float32)


def captions_of(queries: int, items: int) -> np.ndarray:
    """Give every item a query at least, the others at random."""
    return np.append(np.arange(items), np.random.default_rng(1).integers(0, items, queries - items))


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("block", [1, 70, 10**6])
def test_one_right_item_equals_the_naive_loop(block: int, coarse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", block)
    similarity, relevant = made_up(coarse=coarse), captions_of(90, 40)
    scores = retrieval_scores(similarity, relevant)
    assert list(scores) == list(NAMES)
    assert scores == pytest.approx(naive(similarity, [{item} for item in relevant.tolist()]))


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "ties"])
def test_sets_of_right_items_equal_the_naive_loop(coarse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", 200)
    similarity = made_up(coarse=coarse)
    generator = np.random.default_rng(2)
    relevant = [set(generator.integers(0, 40, generator.integers(1, 6)).tolist()) for _ in range(90)]
    assert retrieval_scores(similarity, relevant) == pytest.approx(naive(similarity, relevant))
    assert retrieval_scores(torch.from_numpy(similarity), [sorted(each) for each in relevant]) == pytest.approx(
        naive(similarity, relevant)
    )


def test_both_directions_are_the_matrix_and_its_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", 200)
    similarity = made_up(items=42)  # the last two items have no caption: they distract, and ask nothing
    relevant = captions_of(90, 40)
    both = score_both_directions(similarity, relevant)
    captions = [set(np.flatnonzero(relevant == item).tolist()) for item in range(40)]
    assert both.forward == pytest.approx(naive(similarity, [{item} for item in relevant.tolist()]))
    assert both.backward == pytest.approx(naive(similarity.T[:40], captions))
    assert both.rsum == pytest.approx(sum(each[f"R@{k}"] for each in (both.forward, both.backward) for k in (1, 5, 10)))
    assert both.rsum_interval is None


def test_products_score_as_their_matrix() -> None:
    generator = np.random.default_rng(3)
    texts, videos = generator.normal(size=(90, 8)).astype(np.float32), generator.normal(size=(40, 8)).astype(np.float32)
    relevant = captions_of(90, 40)
    lazy, full = (score_both_directions(each, relevant) for each in (Products(texts, videos), texts @ videos.T))
    assert (lazy.forward, lazy.backward) == (full.forward, full.backward)


def test_a_retriever_whose_vectors_are_alike_scores_at_the_bottom() -> None:
    scores = retrieval_scores(np.ones((20, 50)), np.arange(20))
    assert scores == {"R@1": 0, "R@5": 0, "R@10": 0, "MedR": 50, "MnR": 50}


def test_dual_softmax_is_the_product_with_the_softmax_over_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", 200)
    similarity, relevant = made_up() * 0.1, captions_of(90, 40)
    prior = torch.from_numpy(similarity).double().div(0.05).softmax(0).numpy()
    scores = score_both_directions(similarity, relevant, dual_softmax=0.05)
    revised = similarity * prior
    assert scores.forward == pytest.approx(naive(revised, [{item} for item in relevant.tolist()]))
    assert scores.forward != retrieval_scores(similarity, relevant)
    prior = torch.from_numpy(similarity.T.copy()).double().div(0.05).softmax(0).numpy()
    captions = [set(np.flatnonzero(relevant == item).tolist()) for item in range(40)]
    assert scores.backward == pytest.approx(naive(similarity.T * prior, captions))


def test_intervals_are_of_videos_drawn_with_all_their_captions() -> None:
    similarity, relevant = made_up(), captions_of(90, 40)
    similarity[np.arange(90), relevant] += 2
    both = score_both_directions(similarity, relevant, bootstrap=50, seed=7)
    generator = np.random.default_rng(7)
    expected: dict[str, list[float]] = {name: [] for name in (*NAMES, "rsum")}
    forward, backward = both.forward.ranks, both.backward.ranks
    for _ in range(50):
        drawn = generator.integers(0, 40, 40)
        texts = np.concatenate([forward[relevant == item] for item in drawn])
        values = [100 * (texts <= k).mean() for k in (1, 5, 10)] + [np.median(texts), texts.mean()]
        for name, value in zip(NAMES, values, strict=True):
            expected[name].append(value)
        expected["rsum"].append(sum(values[:3]) + sum(100 * (backward[drawn] <= k).mean() for k in (1, 5, 10)))
    for name in NAMES:
        interval = both.forward.intervals[name]
        assert [interval.low, interval.high] == pytest.approx(np.percentile(expected[name], [2.5, 97.5]).tolist())
    interval = both.rsum_interval
    assert interval is not None
    assert [interval.low, interval.high] == pytest.approx(np.percentile(expected["rsum"], [2.5, 97.5]).tolist())
    alone = retrieval_scores(similarity, relevant, bootstrap=50, seed=7)
    assert alone.intervals == both.forward.intervals
    assert alone.intervals != retrieval_scores(similarity, relevant, bootstrap=50, seed=8).intervals


@pytest.mark.parametrize(
    ("similarity", "relevant", "options", "message"),
    [
        (np.ones(4), [0], {}, r"similarity is \(4,\) and must be \[queries, items\]"),
        (np.ones((0, 4)), [], {}, r"similarity is \(0, 4\) and must be \[queries, items\]"),
        (np.ones((2, 4)), [0], {}, "relevant names the right items of 1 queries, and similarity has 2"),
        (np.ones((2, 4)), [0, 4], {}, r"relevant\[1\] is \[4\] and must be an item's index from 0 to 3"),
        (np.ones((2, 4)), [0, -1], {}, r"relevant\[1\] is \[-1\]"),
        (np.ones((2, 4)), [{1}, set()], {}, r"relevant\[1\] is \[\] and must be .* at least one"),
        (np.ones((2, 4)), [0, 1.5], {}, r"relevant\[0\] is|relevant\[1\] is \[1.5\]"),
        (np.array([[1, 2], [np.nan, 1]]), [0, 1], {}, "similarity has NaN in row 1"),
        (np.ones((2, 4)), [0, 1], {"dual_softmax": 0}, "dual_softmax is 0 and must be a temperature above 0"),
        (np.ones((2, 4)), [0, 1], {"bootstrap": 1}, "bootstrap is 1; it takes at least 2"),
    ],
)
def test_bad_input_is_reported(similarity: np.ndarray, relevant: object, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        retrieval_scores(similarity, relevant, **options)


LARGE = """
import numpy as np
from pathlib import Path
from pseudocap.metrics.retrieval import Products, score_both_directions
generator = np.random.default_rng(0)
videos = generator.standard_normal((10_000, 512), dtype=np.float32)
relevant = np.arange(60_000) % 10_000
texts = videos[relevant] + 8 * generator.standard_normal((60_000, 512), dtype=np.float32)
both = score_both_directions(Products(texts, videos), relevant, bootstrap=100)
status = Path("/proc/self/status").read_text().split()
print(both.forward["R@1"], both.backward["R@1"], int(status[status.index("VmHWM:") + 1]) * 1024 / 1e9)
"""


@pytest.mark.slow
def test_sixty_thousand_texts_by_ten_thousand_videos_fit_in_two_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    forward, backward, gigabytes = map(float, done.stdout.split())
    print(f"{gigabytes:.2f} GB")  # for docs/retrieval.md
    assert 0 < forward < backward < 100  # of six captions the best one counts
    assert gigabytes < 2
