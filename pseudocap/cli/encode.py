"""Encode every clip by frozen encoders, stored once: `pseudocap encode SOURCE --encoder E --out MEMORIES`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.checks import refuse_file, require_at_least, require_clip_lengths
from pseudocap.cli.encoders import NONE, audio_encoder_of, captioner_of, encoder_of, heard_by
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.errors import ConfigError, DataError
from pseudocap.tolerance import Tolerance
from pseudocap.types import MAX_FRAMES, MEDIA_EXTENSIONS, VIDEO_EXTENSIONS

if TYPE_CHECKING:
    from pseudocap.data.memories.encode import DescribedSource, Encoded
    from pseudocap.data.memories.spec import MemorySpec
    from pseudocap.data.videos import VideoFolder
    from pseudocap.model.config import PseudoCapConfig
    from pseudocap.model.encoders.base import Encoder
    from pseudocap.types import CaptionedVideo, Modality, Preprocess

SHARD = 1024  # samples of a file, ...
PATCHES_IN_SHARD = 2**28  # ... but no more bytes of patches, since a shard is gathered in memory

EPILOG = """SOURCE is one of
  captions.jsonl, .json, .csv   your captions (video, caption[, start, end]), videos beside them or in --videos
  msrvtt:DIR, msvd:DIR, vatex:DIR   official annotations; videos below DIR or in --videos
  a folder of tars, or a .tar   as img2dataset (--images) and video2dataset write them
  a folder of videos            one clip, or cut into clips with --clip-seconds; captions in .txt files if there are

Run again with the same settings to go on where a run was stopped, or to add what is new in SOURCE."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=NamedCorpus.of, metavar="SOURCE", help="what to encode; see below")
    add_option(
        parser,
        "--encoder",
        str,
        "E",
        "a TimeSformer or an image model (a directory, a repo, timm/NAME, pseudocap://toy-timesformer), or a "
        "PseudoCap checkpoint by any name; none for sound alone",
        required=True,
    )
    add_option(
        parser,
        "--audio-encoder",
        str,
        "A",
        "also encode the sound of videos: by an AST, a Whisper or a model of the waveform such as wav2vec 2.0 (a "
        "directory or a repo); default: that of the checkpoint, where it hears; none for sight alone",
    )
    add_option(parser, "--moments", float, "N", "vectors a second of sound; default: the audio encoder's own (4)")
    add_checkpoints_option(parser)
    add_option(parser, "--out", Path, "MEMORIES", "the folder to write", required=True)
    add_option(parser, "--videos", Path, "DIR", "where the videos of the captions lie")
    add_flag(parser, "--images", "what is captioned, or in the tars, are images")
    add_option(parser, "--clip-seconds", float, "S", "cut a folder's videos into clips of S seconds")
    add_option(parser, "--min-seconds", float, "S", "leave out a shorter rest of a video (1)")
    add_option(parser, "--size", int, "PX", "pixels; default: the encoder's own")
    add_option(parser, "--frames", int, "T", "frames of a clip; default: the encoder's own")
    add_option(parser, "--crops", 0, "K", "random views beside evaluation's")
    add_option(parser, "--seed", 0, None, "of the random views")
    add_flag(parser, "--int8", "half the size, a scale for each vector")
    add_flag(
        parser,
        "--patches",
        "also keep every patch of every frame, for captioners whose attention is full or a resampler's (and "
        "wherever E is such a captioner); at 8 frames of 196 patches nearly 9 times the size",
    )
    add_option(parser, "--batch-size", 16, "N", "views encoded at once")
    add_option(parser, "--shard-size", int, "N", f"samples in a file ({SHARD}; with patches for 256 MiB of them)")
    add_option(parser, "--workers", 2, "N", "processes that decode")
    add_option(parser, "--device", "auto", None, "where the encoder runs")
    add_flag(parser, "--bf16", "run the encoder in bfloat16")
    add_option(parser, "--max-failure-rate", 0.1, "R", "stop where more than this share fails")
    add_flag(parser, "--allow-partial", "leave out rows that cannot be used, and take corpora of other counts")
    add_flag(parser, "--retry-failed", "try the samples again that failed before")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    spec, result, missing = encode_source(args)
    return _report(args, spec, result, missing=missing)


def encode_source(args: argparse.Namespace) -> tuple[MemorySpec, Encoded, list[str]]:
    """Encode as the options say; return what is stored, what this run did, and the videos that are missing."""
    _refuse_mistakes(args)
    captioner = None if args.encoder == NONE else captioner_of(args.encoder, args.checkpoints)
    heard = None if args.images else heard_by(args.audio_encoder, captioner, moments=args.moments)
    captioned = _captioned(args)

    # Here, after every check that needs no torch, which takes seconds to be imported.
    import torch

    from pseudocap.cli.progress import progress_of
    from pseudocap.data.memories.encode import encode
    from pseudocap.data.memories.spec import MemorySpec
    from pseudocap.model.device import pick_device

    quieten()
    device = pick_device(args.device)
    encoder, preprocess = (None, None) if args.encoder == NONE else _sight(args, captioner)
    hearer = None if heard is None else audio_encoder_of(heard, args.audio_encoder, captioner, moments=args.moments)
    spec = MemorySpec(
        encoder="" if encoder is None else encoder.fingerprint,
        preprocess=preprocess,
        crops=args.crops,
        seed=args.seed,
        storage="int8" if args.int8 else "float16",
        precision="bfloat16" if args.bf16 else "float32",
        patches=args.patches or (captioner is not None and captioner.needs_patches),
        axes=(*(encoder.axes if encoder else ()), *(hearer.axes if hearer else ())),
        audio_encoder="" if hearer is None else hearer.fingerprint,
        sound=None if hearer is None else hearer.preprocess,
    )
    source = _source(args, captioned, spec)
    for each in (encoder, hearer):
        if each is not None:
            each.to(device, torch.bfloat16 if args.bf16 else torch.float32)
    with progress_of("encoding", "samples") as progress:
        result = encode(
            source,
            encoder,
            args.out,
            spec,
            audio_encoder=hearer,
            batch_size=args.batch_size,
            shard_size=_shard_size(spec, encoder) if args.shard_size is None else args.shard_size,
            workers=args.workers,
            max_failure_rate=args.max_failure_rate,
            retry_failed=args.retry_failed,
            progress=progress,
        )
    return spec, result, list(getattr(source, "missing", ()))


def _refuse_mistakes(args: argparse.Namespace) -> None:
    refuse_file("--out", args.out)
    args.source.require("SOURCE")
    if args.encoder == NONE:
        _refuse_options_of_sight(args)
    if args.images and args.audio_encoder not in (None, NONE):
        raise ConfigError("--audio-encoder: pictures have no sound; leave out --images, or the audio encoder")
    if args.moments is not None and not 0 < args.moments < math.inf:
        raise ConfigError(f"--moments must be a number above 0, not {args.moments}")
    require_at_least(args, size=1, frames=1, batch_size=1, shard_size=1, crops=0, workers=0)
    if args.frames is not None and args.frames > MAX_FRAMES:
        raise ConfigError(f"--frames must be 1 to {MAX_FRAMES}, not {args.frames}")
    if args.clip_seconds is not None:
        require_clip_lengths(args.clip_seconds)
    _tolerance(args)


def _refuse_options_of_sight(args: argparse.Namespace) -> None:
    if args.audio_encoder in (None, NONE) or args.images:
        raise ConfigError("--encoder none is for the sound of videos alone: name what encodes it with --audio-encoder")
    given = {"size": args.size, "frames": args.frames, "crops": args.crops, "patches": args.patches}
    if wrong := [f"--{name}" for name, value in given.items() if value]:
        raise ConfigError(f"{', '.join(wrong)}: of pictures, and --encoder none encodes sound alone")


def _sight(args: argparse.Namespace, captioner: PseudoCapConfig | None) -> tuple[Encoder, Preprocess]:
    import torch

    encoder, preprocess = encoder_of(args.encoder, captioner)
    changes = {"size": args.size, "frames": args.frames}
    preprocess = replace(preprocess, **{name: value for name, value in changes.items() if value is not None})
    encoder.check_frames(torch.zeros(1, preprocess.frames, 3, preprocess.size, preprocess.size), None)
    return encoder, preprocess


def _tolerance(args: argparse.Namespace) -> Tolerance:
    return Tolerance(args.max_failure_rate, option="--max-failure-rate")


def _shard_size(spec: MemorySpec, encoder: Encoder | None) -> int:
    if not spec.patches or encoder is None or spec.preprocess is None:
        return SHARD
    size = spec.preprocess.size
    vectors = spec.views * spec.preprocess.frames * math.prod(encoder.grid(size, size))
    bytes_each = encoder.width("space") * (1 if spec.storage == "int8" else 2)
    return max(1, min(SHARD, PATCHES_IN_SHARD // (vectors * bytes_each)))


def _report(args: argparse.Namespace, spec: MemorySpec, result: Encoded, *, missing: list[str]) -> int:
    if args.json:
        values = {name: getattr(result, name) for name in result.__slots__}
        print(json.dumps({"out": str(args.out), "fingerprint": spec.fingerprint, **values, "missing": missing}))
    else:
        each = f", {result.bytes // result.total:,} bytes each" if result.total else ""
        print(
            f"{args.out}: {result.stored:,} samples encoded in {result.seconds:.1f} s, "
            f"{len(result.failed):,} failed; {result.total:,} clips are there in all{each}"
        )
        lines = [f"failed: {name}: {reason}" for name, reason in list(result.failed.items())[:5]]
        if missing:
            what = "images" if args.images else "videos"
            lines.append(f"missing: {len(missing):,} {what} of {args.source}: {', '.join(missing[:5])}")
        for line in lines:
            print(line.encode(errors="backslashreplace").decode())  # a file's name may be no UTF-8
    return 1 if result.failed or missing else 0


def _captioned(args: argparse.Namespace) -> tuple[Sequence[CaptionedVideo], VideoFolder] | None:
    """Read the rows of captions, or of videos without any, and where the videos lie; None of tars, which hold both."""
    from pseudocap.cli.progress import progress_of
    from pseudocap.data.corpora.unlabelled import uncaptioned
    from pseudocap.data.videos import VideoFolder

    path: Path = args.source.path
    if path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar"))):
        return None
    if args.images and path.is_dir():
        raise DataError(f"--images is for tars of images, or captions of pictures in a file; {path} is neither")
    if args.clip_seconds is not None and not path.is_dir():
        raise DataError(f"--clip-seconds cuts the videos of a folder, and {path} is a file")
    media = MEDIA_EXTENSIONS if args.encoder == NONE else VIDEO_EXTENSIONS
    videos = VideoFolder(path, extensions=media) if path.is_dir() and args.source.kind == "own" else None
    # A text beside a video captions it; another text in the folder captions none.
    if (
        videos
        and videos.paths
        and (args.clip_seconds is not None or not any(each.with_suffix(".txt").is_file() for each in videos.paths))
    ):
        with progress_of("looking for clips", "videos") as progress:
            rows = uncaptioned(videos, clip_seconds=args.clip_seconds, min_seconds=args.min_seconds, progress=progress)
        return rows, videos
    videos = VideoFolder(args.videos or args.source.folder, extensions=media)
    return args.source.read(split="test", allow_partial=args.allow_partial).rows, videos


def _source(
    args: argparse.Namespace,
    captioned: tuple[Sequence[CaptionedVideo], VideoFolder] | None,
    spec: MemorySpec,
) -> DescribedSource:
    from pseudocap.data.stream.sources import RowSource, TarSource
    from pseudocap.data.tars.index import index_tars

    modality: Modality = "image" if args.images else "video"
    if captioned is None:
        return TarSource(index_tars(args.source.path), spec.preprocess, modality=modality, sound=spec.sound)
    rows, videos = captioned
    source = RowSource(rows, videos, spec.preprocess, modality=modality, sound=spec.sound)
    if not source.rows:
        raise DataError(
            f"none of the {len(source.missing):,} {modality}s of {args.source} is in {videos.root}; see --videos"
        )
    source.refuse_missing(_tolerance(args))
    return source
