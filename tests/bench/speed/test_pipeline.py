"""Who bounds labelling follows from what a clip costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.bench.speed.decoding import FILMS, write_film
from pseudocap.bench.speed.pipeline import ClipWork, bound, measure, needs

WORK = ClipWork(kib=512, decode=30, scale=10)


def test_a_machine_that_has_what_a_teacher_needs_is_bound_by_the_teacher() -> None:
    wanted = needs(WORK, rate=100)
    assert (wanted.cores, wanted.mib_a_second) == (4, 50)
    assert bound(WORK, rate=100, cores=4.01, mib_a_second=50.1) == ("teacher", 100)


@pytest.mark.parametrize(
    ("cores", "disk", "slowest", "rate"), [(2, 60, "decoding", 50), (5, 20, "disk", 40), (2, 20, "disk", 40)]
)
def test_what_is_scarcer_bounds_it(cores: float, disk: float, slowest: str, rate: float) -> None:
    assert bound(WORK, rate=100, cores=cores, mib_a_second=disk) == (slowest, rate)


@pytest.mark.slow
def test_a_film_with_few_key_frames_costs_more_to_decode_and_more_bytes(tmp_path: Path) -> None:
    found = {}
    for name in ("12", "250"):
        write_film(tmp_path / f"{name}.mp4", *FILMS[name], minutes=1)
        found[name] = measure(tmp_path / f"{name}.mp4", 1)
    assert found["250"].decode > found["12"].decode
    assert found["250"].kib > found["12"].kib > 0
