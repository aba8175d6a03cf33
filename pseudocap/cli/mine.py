"""Carry captions from pictures to clips that look alike: `pseudocap mine VIDEOS --seeds PICTURES --out LABELS`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.checks import read_range, refuse_file, require_at_least
from pseudocap.cli.cluster import add_cluster_options, refuse_cluster_options
from pseudocap.cli.encoders import captioner_of, encoder_of
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import stages_of
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.cli.tables import FIRST
from pseudocap.errors import ConfigError
from pseudocap.files.atomic import try_to_write
from pseudocap.mine.videocc import YOUTUBE, require_address
from pseudocap.tolerance import Tolerance

if TYPE_CHECKING:
    from pseudocap.mine.films import FilmFilter
    from pseudocap.mine.pipeline import MineEngine, MiningResult
    from pseudocap.mine.seeds import Seeds
    from pseudocap.mine.shard import MineSpec

EPILOG = """VIDEOS is a video, a folder (with all below it), a .txt that lists paths, a .tar or a folder of tars, or an
address that fsspec knows (s3://bucket/films), as for `pseudocap label`.

PICTURES is a folder of img2dataset's tars, a folder of pictures with a .txt of captions beside each, or a .csv or
.jsonl with the fields image and caption, which may also be in the folder as captions.jsonl or captions.csv.

E is an image model or a TimeSformer (a directory, a repo, timm/NAME, pseudocap://NAME), or a captioner, whose encoder
is taken.

Run again with the same settings to go on where a run was stopped. docs/mining.md describes what is written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="VIDEOS", help="what is mined; see below")
    add_option(parser, "--seeds", str, "PICTURES", "pictures with captions; see below", required=True)
    add_option(parser, "--encoder", str, "E", "embeds pictures and frames; see below", required=True)
    add_option(parser, "--out", str, "LABELS", "the folder to write, or an address (s3://...)", required=True)
    add_checkpoints_option(parser)
    _add_matching(parser)
    _add_films(parser)
    _add_run(parser)
    add_cluster_options(parser, actor="actor", meaning="how many embed and compare")


def _add_matching(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("matches and clips")
    add_option(group, "--threshold", 0.6, "X", "the lowest similarity of a match, a cosine")
    add_option(group, "--top", 10, "K", "matches of a seed, at most")
    add_option(group, "--apart", float, "S", "seconds between the matches of a seed in one video; default: the span")
    add_option(group, "--span", 10.0, "S", "length of the clip around a frame")
    add_option(group, "--longest", 30.0, "S", "length of a clip that spans which overlap are joined to, at most")
    add_option(group, "--fps", 1.0, "N", "frames that are compared, in a second of video")
    group.add_argument(
        "--pooling", choices=["mean", "max"], default="mean", help="of the encoder's grid, to one vector (mean)"
    )


def _add_films(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which videos, by what --metadata knows of them (0 switches a bound off)")
    add_option(group, "--metadata", Path, "FILE", "a .csv or .jsonl: video, and seconds, views, uploaded, category")
    add_option(group, "--max-minutes", 20.0, "M", "longer videos are left out")
    add_option(group, "--min-views", 1000.0, "N", "videos with no more views are left out")
    add_option(group, "--min-age-days", 90.0, "D", "newer videos are left out")
    add_option(group, "--max-age-years", 10.0, "Y", "older videos are left out")
    add_option(group, "--on-day", str, "DAY", "of which ages are counted, such as 2026-11-30; default: today")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the report")
    add_option(group, "--report", Path, "PAGE", "write PAGE.html and .json: figures, and random matches in pictures")
    add_option(group, "--report-matches", 60, "N", "matches on the page")
    add_option(group, "--classifier", str, "C", "of transformers: count captions with a word that it sees in the frame")
    add_option(group, "--classified", 500, "N", "matches that are classified")
    add_option(group, "--reference", Path, "FILE", "captions whose verbs the seeds' are to hold (rows, or a .txt)")
    add_option(group, "--videocc", Path, "FILE", "write the pairs in VideoCC's form, too (a .csv)")
    add_option(group, "--video-address", YOUTUBE, "A", "there, with {} for the name of a video's file")
    group = parser.add_argument_group("the run")
    add_option(group, "--frame-index", str, "DIR", "keep the frames' vectors here, for other seeds and settings")
    add_option(group, "--workers", 2, "N", "processes that decode; 0: threads")
    add_option(group, "--batch-size", 32, "N", "pictures at once")
    add_option(group, "--shard-size", 32, "N", "videos in a file of labels")
    add_option(group, "--device", "auto", None, "where the encoder and the products run")
    add_flag(group, "--retry-failed", "try videos again that could not be decoded")
    add_option(group, "--max-failure-rate", 0.1, "R", "stop where more than this share fails, of seeds or of videos")
    add_flag(group, "--json", "print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    _check(args)
    from pseudocap.label.sources import find_sources
    from pseudocap.mine.classifier import require_classifier
    from pseudocap.mine.seeds import find_seeds

    spec = _spec(args)
    sources = find_sources(args.source, shard_size=args.shard_size)
    seeds = find_seeds(args.seeds)
    captioner = captioner_of(args.encoder, args.checkpoints)
    if args.classifier is not None:
        require_classifier(args.classifier)
    _require_writable(args)

    # Here, after every check that needs no torch, which takes seconds to be imported.
    from pseudocap.mine.features import EncoderEmbedder
    from pseudocap.mine.pipeline import mine
    from pseudocap.model.device import pick_device

    quieten()
    device = pick_device(args.device)
    encoder, preprocess = encoder_of(args.encoder, captioner)
    embedder = EncoderEmbedder(
        encoder.to(device), name=args.encoder, preprocess=preprocess, pooling=args.pooling, batch_size=args.batch_size
    )
    with _hired(args) as engine, stages_of("mining", patience=2.0) as display:
        result = mine(
            sources,
            seeds,
            embedder,
            args.out,
            spec,
            engine=engine,
            frame_index=args.frame_index,
            device=str(device),
            workers=args.workers,
            retry_failed=args.retry_failed,
            max_failure_rate=args.max_failure_rate,
            progress=display.draw,
        )
    _report(args, result, seeds.bare)
    if args.videocc is not None:
        _write_videocc(args)
    if args.report is not None:
        _write_report(args, spec, seeds, result, str(device))
    return 1 if result.stats["failed"] or result.failed_seeds else 0


def _write_videocc(args: argparse.Namespace) -> None:
    from pseudocap.label.schema import read_labels
    from pseudocap.mine.videocc import write_videocc

    count = write_videocc(args.videocc, read_labels(args.out), address=args.video_address)
    if not args.json:
        print(f"{args.videocc}: {count:,} pairs in VideoCC's form")


def _require_writable(args: argparse.Namespace) -> None:
    """Refuse now what would fail after the mining: files that cannot be written, or a reference that cannot be read."""
    from pseudocap.mine.report import read_reference
    from pseudocap.mine.report_page import report_paths

    if args.reference is not None:
        read_reference(args.reference)
    for path in () if args.report is None else report_paths(args.report):
        try_to_write(path)
    if args.videocc is not None:
        try_to_write(args.videocc)


def _write_report(args: argparse.Namespace, spec: MineSpec, seeds: Seeds, result: MiningResult, device: str) -> None:
    from pseudocap.files.remote import any_path
    from pseudocap.label.run_folder import require_plan
    from pseudocap.mine.classifier import ImageClassifier
    from pseudocap.mine.matches import merge_matches
    from pseudocap.mine.report import drawn_pictures, mining_report, sampled
    from pseudocap.mine.report_page import report_paths, write_report

    folder = any_path(args.out)
    merged = merge_matches(folder, len(require_plan(folder).sources.shards), result.seeds, spec)
    matches, classified = sampled(folder, args.report_matches, args.classified)
    report = mining_report(
        result.contents,
        merged,
        (caption for picture in seeds.pictures for caption in picture.captions),
        threshold=spec.threshold,
        films=spec.films,
        classifier=None if args.classifier is None else ImageClassifier(args.classifier, device=device),
        rows=classified,
        pictures=drawn_pictures(seeds.pictures, args.classified),
        reference=args.reference,
    )
    pictures = {picture.name: picture for picture in seeds.pictures}
    title = f"Mined from {args.source} with {args.seeds}"
    write_report(args.report, report, matches, pictures, title=title)
    if not args.json:
        page, figures = report_paths(args.report)
        print(f"report: {page} and {figures}")


def _hired(args: argparse.Namespace) -> AbstractContextManager[MineEngine]:
    """Return where it runs."""
    from pseudocap.mine.pipeline import LocalMining

    if args.engine == "local":
        return nullcontext(LocalMining(workers=args.workers))
    from pseudocap.mine.on_ray import RayMining

    actors = read_range("--actors", args.actors)
    return RayMining(address=args.address, gpus=args.gpus_per_actor, workers=args.workers, teachers=actors)


def _check(args: argparse.Namespace) -> None:
    """Check what argparse cannot see."""
    for name in ("out", "frame_index"):
        given = getattr(args, name)
        if given is not None and "://" not in given:
            refuse_file(f"--{name.replace('_', '-')}", Path(given))
        if given is not None and given.startswith("memory://"):
            raise ConfigError(f"--{name.replace('_', '-')} {given} would be gone when this command ends; name a folder")
    refuse_cluster_options(args, actor="actor")
    read_range("--actors", args.actors)
    if args.report is None and (args.classifier is not None or args.reference is not None):
        raise ConfigError("--classifier and --reference are for the report; name it with --report PAGE")
    require_address(args.video_address)
    if args.report is not None and args.report.is_dir():
        raise ConfigError(f"--report {args.report} is a folder; name a file, such as mined.html")
    if args.videocc is not None and args.videocc.is_dir():
        raise ConfigError(f"--videocc {args.videocc} is a folder; name a file, such as mined.csv")
    if args.on_day is not None and args.metadata is None:
        raise ConfigError("--on-day counts the ages in --metadata; name it, too")
    if args.reference is not None and not args.reference.is_file():
        raise ConfigError(f"--reference {args.reference}: there is no such file; name captions")
    require_at_least(args, workers=0, batch_size=1, shard_size=1, top=1, report_matches=0, classified=1)
    Tolerance(args.max_failure_rate, option="--max-failure-rate")


def _spec(args: argparse.Namespace) -> MineSpec:
    from pseudocap.mine.shard import MineSpec
    from pseudocap.mine.spans import Spans

    return MineSpec(
        threshold=args.threshold,
        top=args.top,
        apart=args.apart,
        fps=args.fps,
        spans=Spans(span=args.span, longest=args.longest),
        films=_films(args),
        shard_size=args.shard_size,
    )


def _films(args: argparse.Namespace) -> FilmFilter:
    """Read what is known of the videos. A run that is gone on with counts ages on the day on which it began, and one
    that takes frames from an index on the day of that."""
    from pseudocap.files.remote import any_path
    from pseudocap.label.run_folder import read_plan
    from pseudocap.mine.films import FilmFilter, read_facts
    from pseudocap.mine.frame_index import read_settings

    names = ("max_minutes", "min_views", "min_age_days", "max_age_years")
    bounds = {name: getattr(args, name) for name in names}
    if args.metadata is None:
        return FilmFilter(**bounds)
    before = read_plan(any_path(args.out))
    day = args.on_day or (before and before.settings.get("films.day"))
    if not day and args.frame_index is not None:
        day = (read_settings(any_path(args.frame_index)) or {}).get("films.day")
    day = day or date.today().isoformat()
    try:
        on_day = date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"--on-day is {day!r} and must be a day such as 2026-11-30") from None
    return FilmFilter(facts=read_facts(args.metadata), day=on_day, **bounds)


def _report(args: argparse.Namespace, result: MiningResult, bare: int) -> None:
    if args.json:
        print(json.dumps({"out": args.out, **result.document(), "seeds_without_caption": bare}))
        return
    print(
        f"{args.out}: {result.clips:,} clips of {result.hours:.2f} hours with {result.captions:,} captions, "
        f"{result.matches:,} pairs; from {result.seeds:,} seeds and {result.frames:,} frames of {result.films:,} "
        f"videos in {result.seconds:.1f} s"
    )
    if result.again:
        causes = ["--metadata has changed"] * bool(args.metadata) + ["--retry-failed"] * args.retry_failed
        print(f"mined again: {result.again:,} shards ({' or '.join(causes)})")
    if bare:
        print(f"left out: {bare:,} pictures without a caption")
    for reason, count in sorted(result.left_out.items()):
        print(f"left out: {count:,} videos, {reason}")
    failed = [f"{name}: {reason}" for name, reason in result.failed_seeds.items()]
    if result.stats["failed"]:
        from pseudocap.label.schema import read_labels

        failed += [f"{label.clip.source}: {label.error}" for label in read_labels(args.out) if label.failed]
    for line in islice(failed, FIRST):
        print(f"failed: {line}".encode(errors="backslashreplace").decode(), file=sys.stderr)
