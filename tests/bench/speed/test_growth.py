"""How time and memory grow: what is measured is what grows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pseudocap.bench.speed.growth import PARTS, Size, power, table, write_film
from pseudocap.video.cut_detectors import ContentCuts
from pseudocap.video.decode import probe
from pseudocap.video.shots import find_cuts


def test_twice_as_many_in_twice_the_time_is_the_power_of_one() -> None:
    straight = power(Size(size=10, seconds=0.5, peak_mib=1), Size(size=1000, seconds=50, peak_mib=1))
    square = power(Size(size=10, seconds=0.5, peak_mib=1), Size(size=100, seconds=50, peak_mib=1))
    assert (straight, square) == (pytest.approx(1), pytest.approx(2))


def test_a_row_for_every_size() -> None:
    sizes = [Size(size=size, seconds=size / 100, peak_mib=3) for size in (1, 10, 1000)]
    lines = table(PARTS["clips"], sizes).splitlines()
    assert len(lines) == 5
    assert lines[-1] == "| 1,000 | 10.000 | 10.00 | 1.00 | 3 |"


@pytest.mark.parametrize("seconds", [2, 9])
def test_a_film_is_as_long_as_asked(tmp_path: Path, seconds: int) -> None:
    write_film(tmp_path / "film.mp4", seconds)
    assert probe(tmp_path / "film.mp4").duration == pytest.approx(seconds)


def test_shots_of_a_film_differ_and_their_cuts_are_found(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", 14, shot_seconds=4)
    assert list(find_cuts(tmp_path / "film.mp4", ContentCuts(), threads=1)) == pytest.approx([4.0, 8.0, 12.0])


def test_every_part_grows_by_its_sizes() -> None:
    assert all(sorted(set(part.sizes)) == list(part.sizes) for part in PARTS.values())
    assert PARTS["frames"].sizes[-1] == 96
    assert PARTS["length"].sizes[-1] == 2 * 3600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "sizes"), [("clips", (10, 20)), ("length", (10, 30)), ("references", (1, 2)), ("cuts", (4, 8))]
)
def test_each_size_is_measured_in_a_process_of_its_own(part: str, sizes: tuple[int, int]) -> None:
    words = [sys.executable, "-m", "pseudocap.bench.speed.growth", part, "--json", "--sizes", *map(str, sizes)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["size"] for row in rows] == list(sizes)
    assert all(row["seconds"] > 0 for row in rows)
