"""The load of the service runs to its end, and each kind of request is answered as it should be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pseudocap.bench.speed.serving import load


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is read in /proc")
def test_every_request_of_a_load_is_answered_by_its_kind(tmp_path: Path) -> None:
    report = load(tmp_path, "toy-mixed", count=60, clients=8)
    assert set(report.answers) == {("film", 200), ("gone", 0), ("no video", 422), ("too large", 413)}
    assert (len(report.answers), [after for after, *_ in report.held]) == (60, [15, 30, 45, 60])
