"""Run the races of `pseudocap bench throughput`: each part beside a named alternative that does the same work.

Each is a function that makes what both need and times them in turns. What would take hours is measured on few rounds
and says so. Nothing here knows of floors, files or reports: pseudocap/bench/speed/throughput.py does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from pseudocap.bench.speed.measure import Timing, take_turns

EVERY_FRAME, FRAME_BY_FRAME, ALONE = "PyAV, every frame", "transformers, frame by frame", "OPT without adapters"
FULL_ATTENTION = "full attention"
FEWER_BITS = "frozen weights in fewer bits: not the same precision"
A_PROCESS, FEW = "a process for each file", "three processes; the others extrapolated"
TWO_STEPS = "two steps; a run of N steps is N times as long (extrapolated)"

LONG: dict[str, Any] = {"rounds": 1, "full": True}


@dataclass(frozen=True, slots=True)
class Race:
    """Hold a race; `run(folder, rounds, *settings)` times `ours` and `against`, by these names. `floor`: less is a
    failure. What every race has is positional, so that their list reads as a table."""

    name: str
    against: str
    floor: float
    run: Callable[..., Mapping[str, Timing]]
    settings: tuple[Any, ...] = ()
    _: KW_ONLY
    ours: str = "ours"
    rounds: int = 3
    full: bool = False  # only with --full
    note: str = ""


def _race(ours: Callable[[], object], against: str, theirs: Callable[[], object], rounds: int) -> Mapping[str, Timing]:
    return take_turns({"ours": ours, against: theirs}, rounds=rounds)


def race_decoding(folder: Path, rounds: int, film: str, nearest: bool) -> Mapping[str, Timing]:
    """Decode the centre frames of all 8 s clips of two minutes of 640x360, key frames every so many."""
    from pseudocap.bench.speed.decoding import benchmark_film, decode_clips, decode_everything
    from pseudocap.bench.speed.labelling import centres

    path = benchmark_film(folder / f"every_{film}_2min.mp4", film, minutes=2)
    times = centres(path)
    return _race(
        lambda: decode_clips(path, times, nearest), EVERY_FRAME, lambda: decode_everything(path, times), rounds
    )


def race_labelling(folder: Path, rounds: int, film: str) -> Mapping[str, Timing]:
    """Label ten minutes with a teacher whose captions are empty: long enough for what a run costs at any length (its
    plan, its files) to be small beside the decoding."""
    from pseudocap.bench.speed.decoding import benchmark_film, decode_everything
    from pseudocap.bench.speed.labelling import centres, labelled
    from pseudocap.label.teachers.base import NullTeacher

    path = benchmark_film(folder / f"every_{film}_10min.mp4", film, minutes=10)
    times = centres(path)
    return _race(
        lambda: labelled(path, NullTeacher(), workers=0), EVERY_FRAME, lambda: decode_everything(path, times), rounds
    )


def race_blip(folder: Path, rounds: int, dtype: str) -> Mapping[str, Timing]:
    """Label a minute with a BLIP-base of random weights, 12 tokens a caption."""
    from pseudocap.bench.speed.decoding import benchmark_film
    from pseudocap.bench.speed.labelling import centres, labelled, plain_script
    from pseudocap.decoding import LabelDecoding
    from pseudocap.label.teachers.image_text import ImageTextTeacher
    from pseudocap.zoo.tiny import write_blip

    weights, path = folder / "blip-base", benchmark_film(folder / "minute.mp4", "250", minutes=1)
    write_blip(weights, image_size=384, tiny=False)
    times = centres(path)
    teacher = ImageTextTeacher(str(weights), decoding=LabelDecoding(max_new_tokens=12), dtype=dtype)
    return _race(
        lambda: labelled(path, teacher, workers=0, batch_size=len(times)),
        FRAME_BY_FRAME,
        plain_script(path, weights, times, 12),
        rounds,
    )


def race_attention(folder: Path, rounds: int, frames: int, other: str) -> Mapping[str, Timing]:
    """Run six adapters of OPT-1.3B's width, attention alone, forward and backward."""
    from pseudocap.bench.speed.attention import make_step

    kinds = {"separable": "separable", other: other}
    steps = {name: make_step(kind, frames, feed_forward=False) for name, kind in kinds.items()}
    return take_turns(steps, rounds=rounds)


def race_encoding(folder: Path, rounds: int, frames: int, batch: int) -> Mapping[str, Timing]:
    """Encode with a TimeSformer-B of random weights."""
    from pseudocap.bench.speed.encoding import measure

    return measure(batch, frames, rounds)


def race_training(folder: Path, rounds: int, kind: str, other: str) -> Mapping[str, Timing]:
    """Train OPT-350M's and TimeSformer-B's shapes on four captions of each of four clips of 8 frames: forward,
    backward, AdamW."""
    from pseudocap.bench.speed.training import make_step

    return take_turns({name: make_step(name, 4, 8, 4) for name in (kind, other)}, rounds=rounds)


def race_loss(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """Compute the loss of 64 captions of 8 to 24 tokens padded to 32, OPT-1.3B's width and vocabulary."""
    from pseudocap.bench.speed.loss import make_step

    return _race(make_step("chunked"), "logits of everything", make_step("naive"), rounds)


def race_streams(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """Read the batches that a run resumed near the end of an epoch begins with."""
    from pseudocap.bench.speed.streams import RESUMED_AT, plain, streamed, write_tars
    from pseudocap.data.tars.index import index_tars

    tars = folder / "tars"
    tars.mkdir(exist_ok=True)
    write_tars(tars)
    index_tars(tars)
    return _race(lambda: streamed(tars, RESUMED_AT, 1), "a plain loop", lambda: plain(tars, RESUMED_AT, 1), rounds)


def race_generation(
    folder: Path, rounds: int, against: str, setting: Mapping[str, Any] | None = None
) -> Mapping[str, Timing]:
    """Generate greedy tokens of OPT's shapes with six adapters, after the encoder."""
    from pseudocap.bench.speed.generation import Setting, build_setting, measure

    given = Setting(**(setting or {}))
    return measure(build_setting(given), given, [against], rounds)


def race_precision(folder: Path, rounds: int, precision: str) -> Mapping[str, Timing]:
    """Generate 20 greedy tokens of one caption, OPT-350M's shapes with six adapters over 8 frames, encoded before."""
    from pseudocap.bench.speed.small_machines import generating

    return generating("opt-350m", ("float32", precision), batch=1, rounds=rounds)


def race_scoring(folder: Path, rounds: int) -> Mapping[str, Timing]:
    """Score CIDEr-D, BLEU-4 and ROUGE-L of 1,000 made-up captions with 20 references each, tokens included."""
    from pseudocap.bench.speed.scoring import made_up_captions, measure

    return measure(made_up_captions(videos=1000, each=20), turns=rounds)


def race_serving(folder: Path, rounds: int, count: int) -> Mapping[str, Timing]:
    """Caption 200 films of 4 s uploaded by 16 clients, the start of the service included."""
    from pseudocap.bench.speed.serving import race

    return race(folder, rounds, count)


RACES = (
    Race("decode-12", EVERY_FRAME, 20, race_decoding, ("12", False)),
    Race("decode-250", EVERY_FRAME, 3, race_decoding, ("250", False)),
    Race("decode-250-nearest", EVERY_FRAME, 20, race_decoding, ("250", True)),
    Race("label-12", EVERY_FRAME, 15, race_labelling, ("12",)),
    Race("label-250", EVERY_FRAME, 3, race_labelling, ("250",)),
    Race("label-blip", FRAME_BY_FRAME, 1.3, race_blip, ("float32",), **LONG),
    Race("label-blip-int8", FRAME_BY_FRAME, 1.8, race_blip, ("int8",), note=FEWER_BITS, **LONG),
    Race("attention-8", "full", 1.5, race_attention, (8, "full"), ours="separable"),
    Race("attention-8-resampler", "resampler-6", 1.0, race_attention, (8, "resampler-6"), ours="separable"),
    Race(
        "attention-96", "full", 20, race_attention, (96, "full"), ours="separable", rounds=2, full=True, note=TWO_STEPS
    ),
    Race("train-memories", "plain", 4, race_training, ("memories", "plain"), ours="memories", rounds=2),
    Race("train-rows", "rows", 6, race_training, ("memories", "rows"), ours="memories", **LONG),
    Race(
        "train-packed",
        "plain, memories",
        1.5,
        race_training,
        ("memories", "plain, memories"),
        ours="memories",
        note="memories in both",
    ),
    Race(
        "train-frames",
        "full autograd",
        2,
        race_training,
        ("frames", "full autograd"),
        ours="frames",
        rounds=2,
        full=True,
    ),
    Race("encode-8", "transformers", 1.0, race_encoding, (8, 2)),
    Race("encode-96", "transformers", 1.15, race_encoding, (96, 1), **LONG),
    Race("loss", "logits of everything", 1.3, race_loss),
    Race("resume", "a plain loop", 1.3, race_streams),
    Race("generate", ALONE, 0.6, race_generation, (ALONE, {"batch": 8})),
    Race("generate-1", ALONE, 0.6, race_generation, (ALONE,)),
    Race("generate-1.3b", ALONE, 0.6, race_generation, (ALONE, {"shape": "opt-1.3b"}), **LONG),
    Race("generate-full", FULL_ATTENTION, 2.2, race_generation, (FULL_ATTENTION,)),
    Race("generate-8-full", FULL_ATTENTION, 7, race_generation, (FULL_ATTENTION, {"batch": 8}), **LONG),
    Race("generate-96-full", FULL_ATTENTION, 16, race_generation, (FULL_ATTENTION, {"frames": 96}), **LONG),
    Race("generate-float16", "float32", 1.3, race_precision, ("float16",), ours="float16", full=True, note=FEWER_BITS),
    Race("generate-int4", "float32", 1.2, race_precision, ("int4",), ours="int4", full=True, note=FEWER_BITS),
    Race("serve", A_PROCESS, 5, race_serving, (200,), note=FEW, **LONG),
    Race("score", "pycocoevalcap", 6, race_scoring),
)
