"""Measure what bounds labelling: `python -m pseudocap.bench.speed.pipeline`.

Of a clip of 8 seconds: the bytes that are read of its film, and the processor time of one core to decode its centre
frame and to scale it. From these follows what a machine must have beside a teacher of so many clips a second for the
teacher to be the bound, and who is it otherwise. The teacher's pixels are made of the frame on its own device, and
belong to its rate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudocap.bench.speed.decoding import benchmark_film
from pseudocap.bench.speed.labelling import centres
from pseudocap.bench.speed.measure import parser_of, take_turns
from pseudocap.bench.tables import head, row
from pseudocap.video.decode import open_video
from pseudocap.video.reader import Frame

SIDE = 384  # of a BLIP's picture; larger frames are scaled down to it
RATES = (1, 10, 100, 1000)  # clips a second of a teacher


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipWork:
    """Hold, of one clip, KiB that are read, and milliseconds of one core. Scaling may cost less than nothing: of a
    frame that is scaled while its colours are converted, fewer pixels are."""

    kib: float
    decode: float
    scale: float

    @property
    def workers(self) -> float:
        return self.decode + self.scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Compute what a teacher of a rate needs beside it."""

    cores: float
    mib_a_second: float


def needs(work: ClipWork, rate: float) -> Needs:
    return Needs(cores=rate * work.workers / 1000, mib_a_second=rate * work.kib / 1024)


def bound(work: ClipWork, *, rate: float, cores: float, mib_a_second: float) -> tuple[str, float]:
    """Return who is the slowest, and how many clips a second go through."""
    limits = {
        "teacher": rate,
        "decoding" if work.decode > work.scale else "scaling": 1000 * cores / work.workers,
        "disk": 1024 * mib_a_second / work.kib,
    }
    slowest = min(limits, key=lambda name: limits[name])
    return slowest, limits[slowest]


def measure(path: Path, rounds: int, *, side: int = SIDE) -> ClipWork:
    times = centres(path)
    before = _bytes_read()
    frames = _decoded(path, times, None)
    kib = (_bytes_read() - before) / 2**10 / len(times)
    assert len(frames) == len(times), "the films of the benchmark are complete"
    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: _decoded(path, times, None),
        "decode and scale": lambda: _decoded(path, times, side),
    }
    timings = take_turns(runs, rounds=rounds)
    decode, both = (1000 * timings[name].processor / len(times) for name in runs)
    return ClipWork(kib=kib, decode=decode, scale=both - decode)


def _decoded(path: Path, times: Sequence[float], side: int | None) -> list[object]:
    with open_video(path, threads=1, short_side=side) as video:
        return [frame.pixels for frame in video.decode(times) if isinstance(frame, Frame)]


def _bytes_read() -> int:
    """Return the bytes read by this process so far, from disk or from the cache of pages (Linux)."""
    line = next(line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


def main() -> None:
    parser = parser_of("pipeline", __doc__, rounds=5)
    parser.add_argument("--minutes", type=int, default=2, help="of each film (2)")
    parser.add_argument("--lines", type=int, nargs="+", default=[360, 1080], help="of the films (360 1080)")
    parser.add_argument("--cores", type=float, nargs="+", default=[4, 16, 32], help="beside a GPU (4 16 32)")
    parser.add_argument("--disk", type=float, default=200, help="MiB a second that are assumed (200)")
    args = parser.parse_args()
    found: dict[str, ClipWork] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for lines in args.lines:
            for name in ("12", "250"):
                path = benchmark_film(Path(scratch) / f"{lines}-{name}.mp4", name, minutes=args.minutes, lines=lines)
                found[f"{lines} lines, a key frame every {name}"] = measure(path, args.rounds, side=min(SIDE, lines))
    print(head("film", "KiB read a clip", "decode, ms", "scale, ms"))
    for name, work in found.items():
        print(row(name, f"{work.kib:.0f}", f"{work.decode:.1f}", f"{work.scale:.1f}"))
    _print_needs(found)
    _print_bounds(found, args.cores, args.disk)


def _print_needs(found: dict[str, ClipWork]) -> None:
    """Print the arithmetic from the first table."""
    print("\n" + head("a teacher of so many clips a second needs", *(f"{rate:,}" for rate in RATES)))
    for name, work in found.items():
        each = [needs(work, rate) for rate in RATES]
        cells = [f"{_rounded(need.cores)} cores, {_rounded(need.mib_a_second)} MiB/s" for need in each]
        print(f"| {name} | {' | '.join(cells)} |")


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _print_bounds(found: dict[str, ClipWork], cores: Sequence[float], disk: float) -> None:
    print(f"\nWith a GPU that is never the bound, and {disk:g} MiB/s from the disk:\n")
    print(head("cores beside it", *found))
    for count in cores:
        slowest = [bound(work, rate=float("inf"), cores=count, mib_a_second=disk) for work in found.values()]
        print(f"| {count:g} | " + " | ".join(f"{rate:,.0f} clips/s: {who}" for who, rate in slowest) + " |")


if __name__ == "__main__":
    main()
