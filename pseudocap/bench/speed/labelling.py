"""Measure how much faster labelling is than the script one would write: python -m pseudocap.bench.speed.labelling

The plain script decodes every frame of a film with PyAV, takes the centre frame of each 8 s clip and captions one
frame after the other with transformers' `generate`. With the null teacher both do all but the captioning, on the films
of pseudocap.bench.speed.decoding; with `--blip` both caption a film of one minute with a BLIP-base of random weights,
which never ends a sentence, so every caption has `--tokens` tokens. Everyone runs in turn in each round, medians are
compared. `--sizing` prints what one core labels in a second, and what that means for 50 million clips.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from pseudocap.bench.speed.decoding import benchmark_film, decode_everything
from pseudocap.bench.speed.measure import Timing, parser_of, take_turns
from pseudocap.bench.tables import head
from pseudocap.decoding import LabelDecoding
from pseudocap.label.engines import LocalEngine
from pseudocap.label.framing import Framing
from pseudocap.label.pipeline import label
from pseudocap.label.shard import LabelSpec
from pseudocap.label.sources import find_sources
from pseudocap.label.teachers.base import NullTeacher, Teacher
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.video.clips import plan_clips
from pseudocap.video.decode import probe

GOALS = {"12": 25.0, "250": 4.0}


def centres(path: Path) -> list[float]:
    return [clip.centre for clip in plan_clips(str(path), probe(path).duration)]


def labelled(source: Path, teacher: Teacher, workers: int, batch_size: int = 32) -> None:
    """Run a labelling of its own, from the plan to the statistics."""
    spec = LabelSpec(framing=Framing(short_side=teacher.short_side), batch_size=batch_size)
    with tempfile.TemporaryDirectory() as out:
        label(find_sources(str(source)), teacher, Path(out) / "labels", spec, engine=LocalEngine(workers))


def race_null(film: str, folder: Path, rounds: int, copies: int) -> None:
    """Race one film in one process, then several films with workers; the plain script goes through the same films."""
    home = folder / f"every_{film}"
    first = benchmark_film(home / "0.mp4", film)
    for number in range(1, copies):
        if not (home / f"{number}.mp4").exists():
            os.link(first, home / f"{number}.mp4")
    times, teacher = centres(first), NullTeacher()
    runs: dict[str, Callable[[], object]] = {
        "one film, plain": lambda: decode_everything(first, times),
        "one film, label": lambda: labelled(first, teacher, workers=0),
    }
    if copies > 1:
        runs[f"{copies} films, plain"] = lambda: [decode_everything(path, times) for path in home.glob("*.mp4")]
        runs[f"{copies} films, label with 2 workers"] = lambda: labelled(home, teacher, workers=2)
    timings = take_turns(runs, rounds=rounds)
    _print_row(f"null teacher, key frame every {film}", timings, GOALS[film])


def size_up(folder: Path, rounds: int, tokens: int) -> None:
    """Measure what one core does in a second of its own time, which other work on the machine hardly changes."""
    from pseudocap.zoo.tiny import write_blip

    torch.set_num_threads(1)
    weights, minute = folder / "blip-base", benchmark_film(folder / "minute.mp4", "250", minutes=1)
    write_blip(weights, image_size=384, tiny=False)
    teacher = ImageTextTeacher(str(weights), decoding=LabelDecoding(max_new_tokens=tokens))
    columns = (
        *("teacher", "clips"),
        *("processor ms a clip", "clips a second a core", "extrapolated: core hours for 50 M clips"),
    )
    print(head(*columns))
    films = {film: benchmark_film(folder / f"every_{film}" / "0.mp4", film) for film in GOALS}
    runs: list[tuple[str, Path, Teacher, int]] = [
        *((f"null, key frame every {film}", path, NullTeacher(), 32) for film, path in films.items()),
        (f"BLIP-base, {tokens} tokens, batches of 8", minute, teacher, 8),
    ]
    for name, path, who, batch in runs:
        clips = len(centres(path))
        timing = take_turns({name: lambda: labelled(path, who, 0, batch)}, rounds=rounds, warmups=1)[name]  # noqa: B023
        each = timing.processor / clips
        print(f"| {name} | {clips} | {1000 * each:.1f} | {1 / each:.3g} | {50e6 * each / 3600:,.0f} |", flush=True)


def race_blip(folder: Path, rounds: int, tokens: int, lines: int) -> None:
    """Race float32 against float32; the run in int8 is printed beside it, for it does not do the same work."""
    from pseudocap.zoo.tiny import write_blip

    weights, path = folder / "blip-base", benchmark_film(folder / f"minute-{lines}.mp4", "250", minutes=1, lines=lines)
    write_blip(weights, image_size=384, tiny=False)
    times, decoding = centres(path), LabelDecoding(max_new_tokens=tokens)
    plain = plain_script(path, weights, times, tokens)
    runs: dict[str, Callable[[], object]] = {"plain": plain}
    for dtype in ("float32", "int8"):
        teacher = ImageTextTeacher(str(weights), decoding=decoding, dtype=dtype)
        runs[f"label, {dtype}"] = partial(labelled, path, teacher, workers=0, batch_size=len(times))
    timings = take_turns(runs, rounds=rounds)
    for name in list(runs)[1:]:
        what = f"BLIP-base, {len(times)} clips of {tokens} tokens, {lines} lines"
        _print_row(what, {"plain": timings["plain"], name: timings[name]}, 3.0)


def plain_script(path: Path, weights: Path, times: list[float], tokens: int) -> Callable[[], None]:
    """Caption as transformers' documentation does, frame by frame."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    processor = AutoProcessor.from_pretrained(weights)
    model = BlipForConditionalGeneration.from_pretrained(weights).eval()

    def script() -> None:
        for pixels in decode_everything(path, times):
            inputs = processor(images=pixels, return_tensors="pt")
            with torch.no_grad():
                ids = model.generate(pixel_values=inputs.pixel_values, do_sample=True, top_p=0.9, max_new_tokens=tokens)
            processor.batch_decode(ids, skip_special_tokens=True)

    return script


def _print_row(what: str, timings: dict[str, Timing], goal: float) -> None:
    names = list(timings)
    for plain, ours in zip(names[::2], names[1::2], strict=True):
        before, after = timings[plain], timings[ours]
        less = "" if "workers" in ours else f"{before.processor / after.processor:.1f}"  # whose time is not seen here
        faster = f"{before.median / after.median:.1f}"
        print(
            f"| {what} | {ours} | {before.median:.2f} | {after.median:.3f} | {faster} | {less} | {goal:g} |", flush=True
        )


def main() -> None:
    parser = parser_of("labelling", __doc__, rounds=5)
    parser.add_argument("--films", type=Path, help="a folder to keep the films in (default: a temporary one)")
    parser.add_argument("--copies", type=int, default=4, help="films of the race with workers; 1 leaves it out (4)")
    parser.add_argument("--blip", action="store_true", help="with a BLIP-base of random weights instead")
    parser.add_argument("--sizing", action="store_true", help="clips a second a core instead, without the plain script")
    parser.add_argument("--lines", type=int, nargs="+", default=[360, 1080], help="of the films, with --blip")
    parser.add_argument("--tokens", type=int, default=12, help="of every caption, with --blip (default 12)")
    args = parser.parse_args()
    if not args.sizing:
        print(head("", "", "plain, s", "label, s", "times faster", "times less processor time", "goal"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.films or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if args.sizing:
            size_up(folder, args.rounds, args.tokens)
        elif args.blip:
            for lines in args.lines:
                race_blip(folder, args.rounds, args.tokens, lines)
        else:
            for film in GOALS:
                race_null(film, folder, args.rounds, args.copies)


if __name__ == "__main__":
    main()
