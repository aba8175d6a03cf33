"""Probe audio encoders on labelled sounds: `pseudocap bench sound --data DIR --audio-encoder A`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import command, show_result
from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.encoders import audio_encoder_of, heard_by
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.errors import InputError


def _add_sound(parser: argparse.ArgumentParser) -> None:
    add_option(
        parser, "--data", Path, "DIR", "labels.jsonl (audio, label, fold) and its sounds, as ESC-10", required=True
    )
    parser.add_argument(
        "--audio-encoder",
        action="extend",
        nargs="+",
        default=[],
        metavar="A",
        help="an AST, a Whisper or a model of the waveform; several are compared. Without one: the log-mel alone",
    )
    add_option(parser, "--workers", 2, "N", "processes that decode")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_option(parser, "--out", Path, "DIR", "where memories and the result are written (build/bench/sound)")
    add_flag(parser, "--json", "print the result as JSON")


def _sound(args: argparse.Namespace) -> int:
    out = args.out or Path("build/bench/sound")
    refuse_file("--out", out)
    require_at_least(args, workers=0)
    found = {Path(name).name: heard_by(name, None, moments=None) for name in args.audio_encoder}
    if len(found) < len(args.audio_encoder) or None in found.values():
        raise InputError("--audio-encoder: give each once, by names that differ")

    from pseudocap.bench.claims.report import write_table
    from pseudocap.bench.peers.sound import (
        LOG_MEL,
        heard_features,
        log_mel_features,
        probe_document,
        probe_table,
        read_labelled,
    )
    from pseudocap.cli.progress import progress_of
    from pseudocap.model.device import pick_device

    quieten()
    sounds = read_labelled(args.data)
    device = pick_device(args.device)

    features = {}
    for name, address in found.items():
        encoder = audio_encoder_of(str(address), name, None, moments=None).to(device)
        with progress_of(f"encoding by {name}", "sounds") as progress:
            memories = out / "memories" / name
            features[name] = heard_features(sounds, encoder, memories, workers=args.workers, progress=progress)
    features[LOG_MEL] = log_mel_features(sounds)
    document = probe_document(sounds, features, command=command(args))
    table = probe_table(document)
    show_result(args, document, [table], write_table(out, [table], document))
    return 0


SOUND = Subcommand(
    summary="a linear probe of frozen audio encoders on labelled sounds, beside the log-mel and chance",
    add=_add_sound,
    run=_sound,
    example="pseudocap bench sound --data esc10/ --audio-encoder openai/whisper-base",
)
