"""Run every race in a process of its own, kept race by race, compared with its floor: `pseudocap bench throughput`.

A process of its own so that no race pays for what another left in memory. A race that is kept is not run again by the
same code on the same machine; whatever was measured with fewer rounds than requested is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pseudocap.bench.speed.measure import parser_of, times_as_fast
from pseudocap.bench.speed.races import RACES, Race
from pseudocap.bench.tables import head, row
from pseudocap.errors import DataError
from pseudocap.files.atomic import write_text


@dataclass(frozen=True, kw_only=True, slots=True)
class RaceResult:
    """Hold how many times as fast ours was: the ratio of the medians, and the least and the most of single rounds."""

    name: str
    against: str
    ratio: float
    least: float
    most: float
    less_processor: float
    seconds: float
    their_seconds: float
    rounds: int
    floor: float
    note: str
    state: Mapping[str, Any]

    @property
    def holds(self) -> bool:
        return self.ratio >= self.floor


def measure(race: Race, folder: Path, rounds: int) -> RaceResult:
    timings = race.run(folder, rounds, *race.settings)
    ours, theirs = timings[race.ours], timings[race.against]
    ratio, least, most = times_as_fast(ours, theirs)
    return RaceResult(
        **{name: getattr(race, name) for name in ("name", "against", "floor", "note")},
        ratio=ratio,
        least=least,
        most=most,
        less_processor=theirs.processor / ours.processor,
        seconds=ours.median,
        their_seconds=theirs.median,
        rounds=rounds,
        state=state_of_things(),
    )


def state_of_things() -> dict[str, Any]:
    """Return what a figure depends on besides the race."""
    from pseudocap.bench.machine import machine

    threads = os.environ.get("OMP_NUM_THREADS")  # not torch's count: this process and a race's may differ in it
    return machine() | {"cores": os.cpu_count(), "threads": threads}


def run_races(races: Sequence[Race], out: Path, *, rounds: int | None, log: Callable[[str], None]) -> list[RaceResult]:
    """Return those that are kept, and the others, measured. A failed race is reported at the end; others are kept."""
    out.mkdir(parents=True, exist_ok=True)
    now, results, failures = state_of_things(), [], []
    for number, race in enumerate(races, start=1):
        wanted = rounds or race.rounds
        kept = out / f"{race.name}.json"
        result = _kept(kept, race, now, wanted)
        if result is not None:
            log(f"{race.name}: kept from before ({kept})")
        else:
            log(f"{race.name}: {number} of {len(races)}")
            words = ("-m", "pseudocap.bench.speed.throughput", race.name, "--rounds", str(wanted), "--out", str(kept))
            done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                failures.append(f"{race.name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
                continue
            result = _read(kept, race)
        results.append(result)
    if failures:
        raise DataError(f"{'; '.join(failures)} (the others are kept in {out}; run the same command again)")
    return results


def _kept(path: Path, race: Race, now: Mapping[str, Any], rounds: int) -> RaceResult | None:
    if not path.is_file():
        return None
    result = _read(path, race)
    return result if dict(result.state) == now and result.rounds >= rounds else None


def _read(path: Path, race: Race) -> RaceResult:
    return RaceResult(**json.loads(path.read_text(encoding="utf-8")) | {"floor": race.floor, "note": race.note})


def race_table(results: Sequence[RaceResult]) -> Iterator[str]:
    yield head("race", "against", "seconds", "theirs", "times as fast (rounds)", "less processor time", "floor")
    for each in results:
        spread = f"{each.ratio:.2f} ({each.least:.2f} to {each.most:.2f})"
        floor = f"{each.floor:g}" if each.holds else f"**{each.floor:g}: not reached**"
        against = f"{each.against}; {each.note}" if each.note else each.against
        seconds = f"{each.seconds:.3f} | {each.their_seconds:.3f}"
        yield row(each.name, against, seconds, spread, f"{each.less_processor:.2f}", floor)


def main() -> None:
    """Run one race: what `run_races` starts."""
    parser = parser_of("throughput", __doc__, rounds=3)
    parser.add_argument("race", choices=[race.name for race in RACES])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file of the result")
    args = parser.parse_args()
    race = next(race for race in RACES if race.name == args.race)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(race, Path(folder), args.rounds)
    write_text(args.out, json.dumps(asdict(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
