"""Convert encoder weights of other formats to a directory: `pseudocap convert timesformer|whisper SRC OUT`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pseudocap.cli.options import add_flag, add_option
from pseudocap.errors import CheckpointError, ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=["timesformer", "whisper"], help="what the weights are of")
    parser.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="a checkpoint of facebookresearch/TimeSformer (.pyth); or a Whisper in faster-whisper's format, a folder "
        "or a size such as base, whose encoder becomes an audio encoder",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the directory to write")
    add_option(parser, "--heads", int, None, "attention heads, where they are not 64 wide")
    add_flag(parser, "--force", "overwrite OUT")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.force:
        raise CheckpointError(f"{args.out} exists already; choose another directory or say --force")
    if args.kind == "whisper" and args.heads is not None:
        raise ConfigError("--heads is of a TimeSformer; a Whisper's file has them")
    return _whisper(args) if args.kind == "whisper" else _timesformer(args)


def _whisper(args: argparse.Namespace) -> int:
    from pseudocap.label.transcripts.weights import MODEL, find_whisper

    parts = find_whisper(str(args.source)).files[MODEL]

    from pseudocap.model.encoders.convert_whisper import read_ctranslate2, whisper_encoder

    content = b"".join(part.read_bytes() for part in parts)
    fields, state = read_ctranslate2(content, source=str(args.source))
    encoder = whisper_encoder(fields, state, source=str(args.source))
    encoder.save_pretrained(args.out)
    result = {"out": str(args.out), "fingerprint": encoder.fingerprint, **fields}
    if args.json:
        print(json.dumps(result))
    else:
        print(
            f"{args.out}: Whisper's encoder, {fields['encoder_layers']} layers of width {fields['d_model']}, "
            f"windows of {encoder.preprocess.seconds:.0f} s"
        )
    return 0


def _timesformer(args: argparse.Namespace) -> int:
    from pseudocap.model.encoders.convert import read_original
    from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
    from pseudocap.model.weights import fingerprint

    values, state = read_original(args.source, heads=args.heads)
    try:
        config = TimeSformerConfig(**values)
    except ConfigError as error:
        raise CheckpointError(f"{args.source}: {error}") from error
    encoder = TimeSformer.from_state(config, state, source=args.source)
    encoder.save_pretrained(args.out)
    result = {"out": str(args.out), "fingerprint": fingerprint(state.items()), **values}
    if args.json:
        print(json.dumps(result))
    else:
        print(
            f"{args.out}: TimeSformer, {values['depth']} layers of width {values['width']}, {values['num_frames']} "
            f"frames of {values['image_size']} px, fingerprint {result['fingerprint'][:12]}"
        )
    return 0
