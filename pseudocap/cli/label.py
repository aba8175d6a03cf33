"""Caption every clip by a teacher, as rows that training reads: `pseudocap label SOURCE --teacher T --out DIR`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import read_range, refuse_file, require_at_least
from pseudocap.cli.cluster import add_cluster_options, refuse_cluster_options
from pseudocap.cli.decoding import add_decoding_options
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import progress_of
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.cli.shots import add_shot_options, read_cuts
from pseudocap.cli.tables import print_failures
from pseudocap.decoding import LabelDecoding
from pseudocap.errors import ConfigError, DataError
from pseudocap.tolerance import Tolerance
from pseudocap.types import CLIP_SECONDS, MIN_SECONDS

if TYPE_CHECKING:
    from pseudocap.label.compare import Comparison
    from pseudocap.label.engines import Engine
    from pseudocap.label.framing import Framing
    from pseudocap.label.on_ray import RayEngine
    from pseudocap.label.pipeline import Labelled, Relabel
    from pseudocap.label.sources import Sources
    from pseudocap.label.teachers.base import Teacher
    from pseudocap.label.work import Step

EPILOG = """SOURCE is a video, a folder (with all below it), a .txt that lists paths, a .tar or a folder of tars as
video2dataset writes them, or an address that fsspec knows (s3://bucket/films).

T is a repo or directory of BLIP or another image-text model of transformers, what the package ships
(pseudocap://toy-blip), a PseudoCap checkpoint by directory, name or address, `asr` (speech, from --transcripts),
or `null` (nothing: to measure the rest).

Run again with the same settings to go on where a run was stopped. docs/labels.md describes the rows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="what to label; see below")
    parser.add_argument("--teacher", default="Salesforce/blip-image-captioning-large", metavar="T", help="who captions")
    add_option(parser, "--out", str, "DIR", "the folder to write, or an address (s3://...)", required=True)
    _add_framing(parser)
    _add_decoding(parser)
    _add_filters(parser)
    _add_run(parser)
    add_cluster_options(parser, actor="teacher", meaning="how many")


def _add_framing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("clips and frames")
    add_option(group, "--clip-seconds", CLIP_SECONDS, "S", "length of a clip")
    add_option(group, "--min-seconds", MIN_SECONDS, "S", "leave out a shorter rest")
    add_shot_options(group)
    group.add_argument(
        "--frames",
        choices=["centre", "sharpest", "consensus"],
        default="centre",
        help="the clip's centre frame; the sharpest of K around it; or K over the clip, whose captions vote (centre)",
    )
    add_option(group, "--k", 5, "K", "frames of `sharpest` and `consensus`")
    add_option(group, "--candidates", str, "LABELS", "mined captions, which vote with those of `consensus`")
    add_option(group, "--window", 1.0, "S", "where `sharpest` looks, in seconds")
    add_flag(group, "--nearest-keyframe", "take the key frame nearest to the moment: faster, not exact")


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the teacher")
    add_option(group, "--revision", str, "R", "of the teacher's repo; its commit is in every row")
    add_checkpoints_option(group)
    add_flag(group, "--greedy", "the likeliest token instead of sampling")
    add_decoding_options(
        group,
        LabelDecoding(top_p=None),  # where neither --greedy nor --beams is given, cli/teachers.py samples
        "top_p temperature beams captions max_new_tokens min_new_tokens repetition_penalty prompt",
    )
    add_option(group, "--size", int, "PX", "such as 320; default: the teacher's own")
    group.add_argument(
        "--dtype",
        default="auto",
        metavar="T",
        help="float32, bfloat16, float16, or int8 for a BLIP on a CPU (auto: bfloat16 where the GPU has it)",
    )
    add_option(group, "--device", "auto", None, "where the teacher runs")
    add_option(group, "--batch-size", 32, "N", "frames at once")
    add_option(group, "--seed", 0, None, "of sampling")
    add_option(group, "--transcripts", Path, "PATH", "HowTo100M's caption.json or csv, for asr")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("filters (rows keep their verdict; 0 switches one off)")
    add_option(group, "--min-words", 3, "N", "shorter is `short`")
    add_option(group, "--max-words", 50, "N", "longer is `long`")
    add_option(group, "--max-repeats", 2, "N", "of three words in a row")
    add_flag(group, "--keep-duplicates", "within a video")
    add_option(group, "--min-light", 0.0, "X", "darker frames are `black`; a mean of their pixels, such as 0.05")
    add_option(group, "--min-motion", 0.0, "X", "frames that differ less are `static`, such as 0.01; of consensus")
    add_option(group, "--max-text", 0.0, "SHARE", "frames of which more looks like text are `text`, such as 0.1")
    add_option(group, "--words", Path, "FILE", "words and phrases to mark, one a line")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the run")
    add_option(group, "--workers", 2, "N", "processes that decode, with ray for each teacher; 0: threads")
    add_option(group, "--shard-size", 32, "N", "videos in a file of labels")
    add_flag(group, "--retry-failed", "try clips again that failed before")
    add_option(group, "--max-failure-rate", 0.1, "R", "stop where more than this share fails")
    add_option(group, "--relabel", str, "DIR", "label an earlier run's least certain clips again")
    add_option(group, "--below", float, "SCORE", "with --relabel: those with less confidence")
    add_option(group, "--compare", str, "DIR", "report the share of captions that differ from those of another run")
    add_flag(group, "--json", "print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    _check(args)
    from pseudocap.cli.teachers import check_teacher
    from pseudocap.label.candidates import read_candidates
    from pseudocap.label.compare import compare_labels, refuse_other_shards
    from pseudocap.label.filters import Filters
    from pseudocap.label.pipeline import label
    from pseudocap.label.shard import LabelSpec

    sources, relabel = _sources(args)
    check_teacher(args)  # before torch is imported, which takes seconds, and anything is loaded, which may take minutes
    if args.compare is not None:
        refuse_other_shards(sources, args.out, args.compare)
    candidates = None if args.candidates is None else read_candidates(args.candidates, root=sources.root)
    filters = Filters(
        min_words=args.min_words,
        max_words=args.max_words,
        repeats=args.max_repeats,
        duplicates=not args.keep_duplicates,
        words=_word_list(args.words),
        min_light=args.min_light,
        min_motion=args.min_motion,
        max_text=args.max_text,
    )
    with _hired(args) as (engine, teacher, framing), _progress() as progress:
        spec = LabelSpec(
            framing=framing, filters=filters, seed=args.seed, batch_size=args.batch_size, shard_size=args.shard_size,
            candidates=candidates,
        )  # fmt: skip
        result = label(
            sources,
            teacher,
            args.out,
            spec,
            engine=engine,
            retry_failed=args.retry_failed,
            relabel=relabel,
            max_failure_rate=args.max_failure_rate,
            progress=progress,
        )
    _report(args, result, None if args.compare is None else compare_labels(args.out, args.compare))
    return 1 if result.stats["failed"] else 0


@contextmanager
def _hired(args: argparse.Namespace) -> Iterator[tuple[Engine, Teacher, Framing]]:
    """Return where it runs, and the teacher, which on a cluster is described here and built where it will work."""
    from pseudocap.cli.teachers import build_teacher, describe_teacher, framing_of
    from pseudocap.label.engines import LocalEngine

    if args.engine == "local":
        teacher = build_teacher(args)
        yield LocalEngine(args.workers), teacher, framing_of(args, teacher)
        return
    with _cluster(args) as engine:
        yield engine, *engine.there(partial(describe_teacher, args))


def _cluster(args: argparse.Namespace) -> RayEngine:
    from pseudocap.label.on_ray import RayEngine

    teachers = read_range("--teachers", args.teachers)
    return RayEngine(
        address=args.address,
        gpus=0.0 if args.teacher in ("null", "asr") else args.gpus_per_teacher,
        workers=args.workers,
        teachers=teachers,
    )


def _check(args: argparse.Namespace) -> None:
    """Check what argparse cannot see."""
    if (args.relabel is None) != (args.below is None):
        raise ConfigError("--relabel and --below belong together: which run, and below which confidence")
    if (args.source is None) == (args.relabel is None):
        raise ConfigError("name either SOURCE or, with --relabel, an earlier run whose sources are taken")
    if "://" not in args.out:
        refuse_file("--out", Path(args.out))
    if args.out.startswith("memory://"):
        raise ConfigError(f"--out {args.out} would be gone when this command ends; name a folder or a bucket")
    for name in ("relabel", "compare"):
        if getattr(args, name) is not None and _same(getattr(args, name), args.out):
            raise ConfigError(f"--{name} {args.out} is --out itself; name another folder")
    refuse_cluster_options(args, actor="teacher")
    if args.candidates is not None and args.frames != "consensus":
        raise ConfigError(f"--candidates vote under --frames consensus, not {args.frames}; name it")
    if args.greedy and (args.top_p is not None or args.beams > 1):
        raise ConfigError("--greedy excludes --top-p and --beams")
    require_at_least(args, workers=0, batch_size=1, shard_size=1, size=1)
    Tolerance(args.max_failure_rate, option="--max-failure-rate")


def _sources(args: argparse.Namespace) -> tuple[Sources, Relabel | None]:
    from pseudocap.label.pipeline import Relabel
    from pseudocap.label.rewrite import Earlier
    from pseudocap.label.sources import find_sources

    if args.relabel is None:
        return find_sources(args.source, shard_size=args.shard_size), None
    plan = Earlier.of(args.relabel).plan
    if "frames.clip_seconds" not in plan.settings:
        raise ConfigError(f"--relabel {args.relabel} was not captioned by a teacher clip by clip; name such a run")
    for name in ("clip_seconds", "min_seconds"):  # the same clips, or none could be kept
        earlier = plan.settings[f"frames.{name}"]
        if getattr(args, name) != earlier:
            raise ConfigError(f"--relabel takes the clips as they are: --{name.replace('_', '-')} {earlier:g}")
    cuts, before = read_cuts(args), plan.settings.get("frames.cuts")
    if (None if cuts is None else dict(cuts.settings)) != before:
        raise ConfigError(
            f"--relabel takes the clips as they are: with --clips {'shots and ' + str(before) if before else 'fixed'}"
        )
    return plan.sources, Relabel(earlier=args.relabel, below=args.below)


def _same(one: str, other: str) -> bool:
    return one == other or ("://" not in one + other and Path(one).resolve() == Path(other).resolve())


def _word_list(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--words {path} cannot be read: {error}; write one word or phrase a line") from error
    return tuple(dict.fromkeys(line.strip().lower() for line in lines if line.strip()))


@contextmanager
def _progress() -> Iterator[Callable[[Step, int], None]]:
    """Report videos, and the rate in clips and in seconds of video."""
    with progress_of("labelling", "videos") as draw:
        started = time.monotonic()

        def report(now: Step, videos: int) -> None:
            elapsed = max(time.monotonic() - started, 1e-9)
            rate = f"{now.clips / elapsed:,.1f} clips/s, {now.seconds / elapsed:,.0f} s of video per second"
            draw(now.videos, videos, rate)

        yield report


def _report(args: argparse.Namespace, result: Labelled, compared: Comparison | None) -> None:
    speed = result.video_seconds / result.seconds
    if args.json:
        run = {
            "clips": result.clips,
            "failed": result.failed,
            "seconds": round(result.seconds, 3),
            "seconds_of_video_per_second": round(speed, 1),
        }
        beside = {} if compared is None else {"compared": {**asdict(compared), "share": round(compared.share, 6)}}
        print(json.dumps({"out": args.out, "run": run, **result.stats, **beside}))
        return
    stats: Mapping[str, Any] = result.stats
    print(
        f"{args.out}: {result.clips:,} clips labelled in {result.seconds:.1f} s "
        f"({speed:,.0f} seconds of video per second), {result.failed:,} of them failed"
    )
    print(
        f"in all: {stats['clips']:,} clips of {stats['sources']:,} videos, {stats['failed']:,} failed, "
        f"{stats['kept']:,} without a verdict; {stats['captions']:,} captions of {stats['mean_words'] or 0:.1f} words, "
        f"{stats['vocabulary']:,} different words"
    )
    for name, verdict in stats["verdicts"].items():
        print(f"  {name}: {verdict['clips']:,} ({verdict['share']:.1%})")
    if stats["failed"]:
        from pseudocap.label.schema import read_labels

        failed = (f"{label.clip.source}: {label.error}" for label in read_labels(args.out) if label.failed)
        print_failures(failed, stats["failed"])
    if compared is not None:
        print(
            f"compared with {args.compare}: {compared.differing:,} of {compared.clips:,} captions differ "
            f"({compared.share:.2%}); {compared.only_one:,} clips are in one of them only"
        )
