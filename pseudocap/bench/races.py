"""The races of `pseudocap bench throughput`: what we do beside a named alternative that does the same work.

Each is a function that makes what both need and times them in turns. What would take hours is measured on few rounds
and says so. Nothing here knows of floors, files or reports: pseudocap/bench/throughput.py does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.bench.measure import Timing, take_turns

Run = Callable[[Path, int], Mapping[str, Timing]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """`run(folder, rounds)` times `ours` and `against`, by these names. `floor`: below this ratio is a failure."""

    name: str
    ours: str
    against: str
    floor: float
    run: Run
    rounds: int = 3
    full: bool = False  # only with --full
    note: str = ""


def decode(film: str, nearest: bool) -> Run:
    """The centre frames of all 8 s clips of two minutes of 640x360, key frames every so many."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.decoding import decode_everything, ours
        from pseudocap.bench.labelling import centres

        path = _film(folder, film)
        times = centres(path)
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: ours(path, times, nearest),
            "PyAV, every frame": lambda: decode_everything(path, times),
        }
        return take_turns(runs, rounds=rounds)

    return run


def label(film: str) -> Run:
    """A whole labelling run with a teacher that says nothing of what it sees."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.decoding import decode_everything
        from pseudocap.bench.labelling import centres, labelled
        from pseudocap.label.teachers import NullTeacher

        path = _film(folder, film)
        times = centres(path)
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: labelled(path, NullTeacher(), workers=0),
            "PyAV, every frame": lambda: decode_everything(path, times),
        }
        return take_turns(runs, rounds=rounds)

    return run


def label_with_blip(dtype: str) -> Run:
    """A minute labelled by a BLIP-base of random weights, 12 tokens a caption."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.decoding import FILMS, write_film
        from pseudocap.bench.labelling import centres, labelled, plain_script
        from pseudocap.label.teachers import Decoding, ImageTextTeacher
        from pseudocap.zoo.tiny import write_blip

        path, weights = folder / "minute.mp4", folder / "blip-base"
        write_film(path, *FILMS["250"], minutes=1)
        write_blip(weights, image_size=384, tiny=False)
        times = centres(path)
        teacher = ImageTextTeacher(str(weights), decoding=Decoding(max_new_tokens=12), dtype=dtype)
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: labelled(path, teacher, workers=0, batch_size=len(times)),
            "transformers, frame by frame": plain_script(path, weights, times, 12),
        }
        return take_turns(runs, rounds=rounds)

    return run


def attend(frames: int, other: str) -> Run:
    """Six adapters of OPT-1.3B's width, attention alone, forward and backward."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.attention import make_step

        kinds = {"separable": "separable", other: other}
        steps = {name: make_step(kind, frames, feed_forward=False) for name, kind in kinds.items()}
        return take_turns(steps, rounds=rounds)

    return run


def encode(frames: int, batch: int) -> Run:
    """TimeSformer-B of random weights."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.encoding import measure

        return measure(batch, frames, rounds)

    return run


def train(kind: str, other: str) -> Run:
    """OPT-350M's and TimeSformer-B's shapes, four captions of each of four clips of 8 frames: forward, backward,
    AdamW."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.training import make_step

        return take_turns({name: make_step(name, 4, 8, 4) for name in (kind, other)}, rounds=rounds)

    return run


def lose(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """64 captions of 8 to 24 tokens padded to 32, OPT-1.3B's width and vocabulary."""
    from pseudocap.bench.loss import make_step

    return take_turns({"ours": make_step("chunked"), "logits of everything": make_step("naive")}, rounds=rounds)


def stream(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """The batches that a run resumed near the end of an epoch begins with."""
    from pseudocap.bench.streams import RESUMED_AT, plain, streamed, write_tars
    from pseudocap.data.tar_index import index_tars

    tars = folder / "tars"
    tars.mkdir(exist_ok=True)
    write_tars(tars)
    index_tars(tars)
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: streamed(tars, RESUMED_AT, 1),
        "a plain loop": lambda: plain(tars, RESUMED_AT, 1),
    }
    return take_turns(runs, rounds=rounds)


def generate(against: str, **setting: Any) -> Run:
    """Greedy tokens of OPT's shapes with six adapters, after the encoder."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.generation import Setting, build, measure

        given = Setting(**setting)
        return measure(build(given), given, [against], rounds)

    return run


def generate_in(precision: str) -> Run:
    """20 greedy tokens of one caption, OPT-350M's shapes with six adapters over 8 frames, after the encoder."""

    def run(folder: Path, rounds: int) -> Mapping[str, Timing]:
        from pseudocap.bench.small_machines import generating

        return generating("opt-350m", ("float32", precision), batch=1, rounds=rounds)

    return run


def judge(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """CIDEr-D, BLEU-4 and ROUGE-L of 1,000 made-up captions with 20 references each, tokens included."""
    from pseudocap.bench.scoring import made_up_captions, measure

    return measure(made_up_captions(videos=1000, each=20), turns=rounds)


def _film(folder: Path, film: str) -> Path:
    from pseudocap.bench.decoding import FILMS, write_film

    path = folder / f"every_{film}.mp4"
    if not path.exists():
        write_film(path, *FILMS[film], minutes=2)
    return path


RACES = (
    Race(name="decode-12", ours="ours", against="PyAV, every frame", floor=20, run=decode("12", False)),
    Race(name="decode-250", ours="ours", against="PyAV, every frame", floor=3, run=decode("250", False)),
    Race(name="decode-250-nearest", ours="ours", against="PyAV, every frame", floor=20, run=decode("250", True)),
    Race(name="label-12", ours="ours", against="PyAV, every frame", floor=8, run=label("12")),
    Race(name="label-250", ours="ours", against="PyAV, every frame", floor=3, run=label("250")),
    Race(
        name="label-blip",
        ours="ours",
        against="transformers, frame by frame",
        floor=1.3,
        run=label_with_blip("float32"),
        rounds=1,
        full=True,
    ),
    Race(
        name="label-blip-int8",
        ours="ours",
        against="transformers, frame by frame",
        floor=1.8,
        run=label_with_blip("int8"),
        rounds=1,
        full=True,
        note="the vision tower in int8: not the same precision",
    ),
    Race(name="attention-8", ours="separable", against="full", floor=1.5, run=attend(8, "full")),
    Race(
        name="attention-8-resampler", ours="separable", against="resampler-6", floor=1.0, run=attend(8, "resampler-6")
    ),
    Race(
        name="attention-96",
        ours="separable",
        against="full",
        floor=20,
        run=attend(96, "full"),
        rounds=2,
        full=True,
        note="two steps; a run of N steps is N times as long (extrapolated)",
    ),
    Race(name="train-memories", ours="memories", against="plain", floor=2.5, run=train("memories", "plain"), rounds=2),
    Race(
        name="train-packed",
        ours="memories",
        against="plain, memories",
        floor=1.2,
        run=train("memories", "plain, memories"),
        note="memories in both",
    ),
    Race(
        name="train-frames",
        ours="frames",
        against="full autograd",
        floor=2,
        run=train("frames", "full autograd"),
        rounds=2,
        full=True,
    ),
    Race(name="encode-8", ours="ours", against="transformers", floor=1.0, run=encode(8, 2)),
    Race(name="encode-96", ours="ours", against="transformers", floor=1.15, run=encode(96, 1), rounds=1, full=True),
    Race(name="loss", ours="ours", against="logits of everything", floor=1.3, run=lose),
    Race(name="resume", ours="ours", against="a plain loop", floor=1.3, run=stream),
    Race(
        name="generate",
        ours="ours",
        against="OPT without adapters",
        floor=0.6,
        run=generate("OPT without adapters", batch=8),
    ),
    Race(
        name="generate-1",
        ours="ours",
        against="OPT without adapters",
        floor=0.6,
        run=generate("OPT without adapters"),
    ),
    Race(name="generate-full", ours="ours", against="full attention", floor=2.2, run=generate("full attention")),
    Race(
        name="generate-8-full",
        ours="ours",
        against="full attention",
        floor=7,
        run=generate("full attention", batch=8),
        rounds=1,
        full=True,
    ),
    Race(
        name="generate-96-full",
        ours="ours",
        against="full attention",
        floor=16,
        run=generate("full attention", frames=96),
        rounds=1,
        full=True,
    ),
    Race(
        name="generate-1.3b",
        ours="ours",
        against="OPT without adapters",
        floor=0.6,
        run=generate("OPT without adapters", shape="opt-1.3b"),
        rounds=1,
        full=True,
    ),
    *(
        Race(
            name=f"generate-{precision}",
            ours=precision,
            against="float32",
            floor=floor,
            run=generate_in(precision),
            full=True,
            note="the frozen weights in fewer bits: not the same precision",
        )
        for precision, floor in (("float16", 1.3), ("int4", 1.2))
    ),
    Race(name="score", ours="ours", against="pycocoevalcap", floor=6, run=judge),
)
