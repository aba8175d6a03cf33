"""Measure how time and memory grow: `python -m pseudocap.bench.speed.growth`.

With the number of clips that are labelled (ten of them to a film), with the length of a film that is captioned clip by
clip or whose cuts are found, with the frames of a clip that is encoded, with the references that a caption is scored
against. Films are small and their captioner tiny, so that what grows is the package's own work and not the decoder's or
the network's; frames are encoded at TimeSformer-B's size. Each size runs in a process of its own, after a warm-up with
the least size. The power is the slope of the logarithms between two sizes: 1 is a straight line through the origin,
less is one with a fixed cost before it, more would be a fault.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from pseudocap.bench import tables
from pseudocap.bench.speed.measure import parser_of, peak_memory, run_apart

Make = Callable[[Path, int], Callable[[], object]]
CLIPS_OF_A_FILM = 10
CLIP_SECONDS = 8
FILM_FPS = 5
SHOT_SECONDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """Hold a part that grows: `make(folder, size)` prepares everything of a size and returns what is measured."""

    unit: str
    sizes: tuple[int, ...]
    make: Make


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    size: int
    seconds: float
    peak_mib: float


def write_film(path: Path, seconds: int, *, shot_seconds: int | None = None) -> None:
    """Write a film of a small picture that slides round and round, another one in each shot."""
    import numpy as np

    from pseudocap.video.writer import write_video

    frames, shot = seconds * FILM_FPS, FILM_FPS * (shot_seconds or seconds)
    pictures = np.random.default_rng(0).integers(0, 255, (min(8, -(-frames // shot)), 6, 8, 3), dtype=np.uint8)
    pictures = pictures.repeat(8, 1).repeat(8, 2)
    moved = (np.roll(pictures[number // shot % len(pictures)], number, axis=1) for number in range(frames))
    write_video(path, moved, rate=FILM_FPS, options={"x264-params": "keyint=20", "preset": "ultrafast"})


def grow_clips(folder: Path, size: int) -> Callable[[], object]:
    """Label with a teacher that writes nothing, in this process."""
    from pseudocap.bench.speed.labelling import labelled
    from pseudocap.label.teachers.base import NullTeacher

    films = folder / f"films-{size}"
    films.mkdir()
    first = films / "0.mp4"
    write_film(first, CLIPS_OF_A_FILM * CLIP_SECONDS)
    for number in range(1, size // CLIPS_OF_A_FILM):
        os.link(first, films / f"{number}.mp4")
    return lambda: labelled(films, NullTeacher(), workers=0)


def grow_length(folder: Path, size: int) -> Callable[[], object]:
    """Run `caption_long` by a tiny captioner."""
    import transformers

    from pseudocap.captioner import PseudoCap
    from pseudocap.zoo.tiny import write_opt, write_timesformer

    transformers.utils.logging.disable_progress_bar()
    film = folder / f"{size}.mp4"
    write_film(film, size)
    if not (folder / "opt").exists():
        write_opt(folder / "opt")
        write_timesformer(folder / "timesformer")
    model = PseudoCap.from_backbones(decoder=folder / "opt", encoder=folder / "timesformer", device="cpu")
    return lambda: sum(1 for _ in model.caption_long(film, clip_seconds=CLIP_SECONDS, max_new_tokens=8))


def grow_frames(folder: Path, size: int) -> Callable[[], object]:
    """Encode one clip by a TimeSformer-B of random weights, at 224 pixels."""
    import torch

    from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig

    torch.manual_seed(0)
    encoder = TimeSformer(TimeSformerConfig()).eval()
    clip = torch.randn(1, size, 3, 224, 224)
    return lambda: encoder.encode(clip)


def grow_references(folder: Path, size: int) -> Callable[[], object]:
    """Compute CIDEr-D, BLEU-4 and ROUGE-L of 500 captions, tokens included."""
    from pseudocap.bench.speed.scoring import METRICS, made_up_captions
    from pseudocap.metrics import score

    captions = made_up_captions(videos=500, each=size)
    predictions = {video: texts[0] for video, texts in captions.items()}
    known = {video: texts[1:] for video, texts in captions.items()}
    return lambda: score(predictions=predictions, references=known, metrics=METRICS)


def grow_cuts(folder: Path, size: int, *, detector: str) -> Callable[[], object]:
    """Find the cuts of a film with a cut every four seconds."""
    from pseudocap.video.cut_detectors import cut_detector
    from pseudocap.video.shots import find_cuts

    film = folder / f"{size}.mp4"
    write_film(film, size, shot_seconds=SHOT_SECONDS)
    return lambda: sum(1 for _ in find_cuts(film, cut_detector(detector), threads=1))


PARTS = {
    "clips": Growth(unit="clips", sizes=(10, 100, 1_000, 10_000), make=grow_clips),
    "length": Growth(unit="seconds of film", sizes=(10, 60, 600, 3_600, 7_200), make=grow_length),
    "frames": Growth(unit="frames", sizes=(1, 8, 32, 96), make=grow_frames),
    "cuts": Growth(unit="seconds of film", sizes=(60, 600, 3_600, 7_200), make=partial(grow_cuts, detector="content")),
    "transnetv2": Growth(unit="seconds of film", sizes=(10, 60, 300), make=partial(grow_cuts, detector="transnetv2")),
    "references": Growth(unit="references a caption", sizes=(1, 5, 20, 50), make=grow_references),
}


def measure(part: Growth, size: int, least: int) -> Size:
    """Measure in this process, which should do nothing else."""
    with tempfile.TemporaryDirectory() as scratch:
        warm, cold = Path(scratch) / "warm", Path(scratch) / "cold"
        warm.mkdir()
        cold.mkdir()
        part.make(warm, least)()
        run = part.make(cold, size)
        started = time.perf_counter()
        peak = peak_memory(run)
        return Size(size=size, seconds=time.perf_counter() - started, peak_mib=peak)


def power(smaller: Size, larger: Size) -> float:
    return math.log(larger.seconds / smaller.seconds) / math.log(larger.size / smaller.size)


def table(part: Growth, found: Sequence[Size]) -> str:
    rows, slopes = [], ["", *(f"{power(*pair):.2f}" for pair in pairwise(found))]
    for each, slope in zip(found, slopes, strict=True):
        seconds = (f"{each.seconds:.3f}", f"{1000 * each.seconds / each.size:.2f}")
        rows.append((f"{each.size:,}", *seconds, slope, f"{each.peak_mib:.0f}"))
    return tables.table((part.unit, "seconds", "ms for each", "power", "peak, MiB"), rows)


def main() -> None:
    parser = parser_of("growth", __doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--sizes", type=int, nargs="+", help="of one part, instead of its own")
    parser.add_argument("--json", action="store_true", help="one JSON row a size instead of tables")
    parser.add_argument("--cell", type=int, help="measure one size in this process and print it as JSON")
    args = parser.parse_args()
    if args.sizes and len(args.parts) != 1:
        parser.error("--sizes are those of one part: name it")
    if args.cell:
        part = PARTS[args.parts[0]]
        print(json.dumps(asdict(measure(part, args.cell, min(args.sizes or part.sizes)))))
        return
    for name in args.parts or PARTS:
        sizes = sorted(args.sizes or PARTS[name].sizes)
        printed = [run_apart("growth", name, "--cell", size, "--sizes", min(sizes)) for size in sizes]
        found = [Size(**json.loads(each.splitlines()[-1])) for each in printed]
        if args.json:
            for each in found:
                print(json.dumps({"part": name} | asdict(each)), flush=True)
        else:
            print(f"{name}\n\n{table(PARTS[name], found)}\n", flush=True)


if __name__ == "__main__":
    main()
