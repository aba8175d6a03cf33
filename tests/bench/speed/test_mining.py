"""Both ways of the race find the same matches, and what is reckoned follows from its assumptions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pseudocap.bench.speed.mining import (
    Reckoning,
    matching_table,
    measure_way,
    race_matching,
    seeds_and_block,
    unit_parts,
)
from pseudocap.cli.main import main


def test_both_ways_find_the_same_matches() -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    results = race_matching(200, 3000, 16, seed=0, threads=2, log=lambda _: None)
    assert [each.name for each in results] == ["ours", "faiss, exact"]
    assert all(each.same == 1.0 for each in results)
    assert all(each.seconds > 0 and each.processor > 0 for each in results)
    printed, more = (matching_table(results, 200, 3000, 16, threads=threads) for threads in (2, 4))
    assert printed.endswith("with one block 4 MiB")
    assert more.endswith("with one block 8 MiB")
    assert printed.count("\n| ours") == printed.count("\n| faiss, exact") == 1


@pytest.mark.slow
def test_the_peak_is_below_one_and_a_half_times_the_seeds_and_one_block(tmp_path: Path) -> None:
    seeds, dim = 100_000, 256
    found = measure_way("ours", seeds, 2049, dim, seed=0, threads=2, found=tmp_path / "found.npy")
    assert 4 * seeds * dim < found["peak"] < 1.5 * seeds_and_block(seeds, dim, threads=2)


def test_vectors_do_not_depend_on_how_many_there_are() -> None:
    (few,), (many,) = unit_parts(5, 8, 3), unit_parts(20, 8, 3)
    assert np.array_equal(few, many[:5])
    assert np.linalg.norm(many, axis=1) == pytest.approx(1.0)


def test_what_is_reckoned_is_linear_in_the_videos(capsys: pytest.CaptureFixture[str]) -> None:
    one, ten = (dict(Reckoning(videos=videos).rows()) for videos in (1e6, 1e7))
    assert float(ten["stage two, comparing (FLOP)"]) == pytest.approx(10 * float(one["stage two, comparing (FLOP)"]))
    assert one["frames"] == "3e+08"
    assert one["a worker's seeds and heaps (GB)"] == ten["a worker's seeds and heaps (GB)"] == "1.43"
    assert main(["bench", "mining", "--reckon", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == "4.5e+10"
