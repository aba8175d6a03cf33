"""Races: what is kept, what is measured again, what fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudocap.bench.speed.measure import take_turns
from pseudocap.bench.speed.races import RACES, Race
from pseudocap.bench.speed.throughput import measure, race_table, run_races
from pseudocap.cli.main import main
from pseudocap.errors import DataError


def counted(rounds: int, *, slow: int) -> dict:  # type: ignore[type-arg]
    return take_turns({"ours": lambda: sum(range(1000)), "theirs": lambda: sum(range(slow))}, rounds=rounds)


def race(floor: float) -> Race:
    run = lambda folder, rounds: counted(rounds, slow=100_000)  # noqa: E731
    return Race(name="sum", ours="ours", against="theirs", floor=floor, run=run)


def test_a_ratio_is_of_medians_and_lies_between_single_rounds(tmp_path: Path) -> None:
    found = measure(race(floor=2), tmp_path, 5)
    assert found.least <= found.ratio <= found.most
    assert found.ratio == pytest.approx(found.their_seconds / found.seconds)
    assert found.holds
    assert not measure(race(floor=1e9), tmp_path, 1).holds
    assert "not reached" in list(race_table([measure(race(floor=1e9), tmp_path, 1)]))[-1]


def test_names_are_unique_and_floors_are_there() -> None:
    assert len({each.name for each in RACES}) == len(RACES)
    assert all(each.floor > 0 and each.rounds > 0 for each in RACES)


@pytest.mark.slow
def test_a_race_is_kept_and_measured_again_only_for_more_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "throughput", "resume", "--out", str(tmp_path), "--json"]
    main([*words, "--rounds", "1"])  # whether it reaches its floor is not the matter here
    (first,) = json.loads(capsys.readouterr().out)
    assert first["against"] == "a plain loop"
    main([*words, "--rounds", "1"])
    (again,) = json.loads(capsys.readouterr().out)
    assert again == first
    main([*words, "--rounds", "2"])
    (more,) = json.loads(capsys.readouterr().out)
    assert more["rounds"] == 2
    kept = json.loads((tmp_path / "resume.json").read_text())
    (tmp_path / "resume.json").write_text(json.dumps(kept | {"state": kept["state"] | {"commit": "another"}}))
    main([*words, "--rounds", "1"])
    (other,) = json.loads(capsys.readouterr().out)
    assert other["rounds"] == 1


@pytest.mark.slow
def test_a_race_that_cannot_run_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Java, which pycocoevalcap needs
    chosen = [each for each in RACES if each.name in ("resume", "score")]
    with pytest.raises(DataError, match=r"score: .*the others are kept"):
        run_races(chosen, tmp_path / "out", rounds=1, log=lambda line: None)
    assert (tmp_path / "out" / "resume.json").is_file()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["decode-13"], "decode-13 is no race (did you mean 'decode-12'?)"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "throughput", *words]) == 2
    printed = capsys.readouterr().err
    assert text in printed
    assert printed.count("\n") == 1
