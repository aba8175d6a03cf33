"""Compare a checkpoint with its peers on the same frames: `pseudocap bench model N`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.bench.peers.peer_specs import Spec, read_peer
from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import command, log, show_result
from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.decoding import add_decoding_options
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option, find_captioner
from pseudocap.decoding import FileDecoding
from pseudocap.errors import InputError

if TYPE_CHECKING:
    from pseudocap.data.corpora.base import Corpus


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="N", help="a PseudoCap: a row of the zoo, a repo, an address or a directory")
    add_checkpoints_option(parser)
    add_option(parser, "--data", "toy", "D", "toy, msrvtt, msvd, or a file of captions of your own")
    add_option(parser, "--annotations", Path, "DIR", "of MSR-VTT or MSVD")
    add_option(parser, "--videos", Path, "DIR", "where the videos lie (own: beside the captions)")
    add_option(parser, "--build", Path, "DIR", "whose toy films (build/zoo; without one they are drawn anew)")
    add_option(parser, "--split", "test", "S", "what is captioned")
    add_option(parser, "--limit", int, "N", "the first N videos only")
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="KIND[=P]",
        help="git, blip or blip2, each with a directory or a repo; alone it is timed with random weights",
    )
    add_option(parser, "--rounds", 5, "N", "times that each is timed")
    add_decoding_options(parser, FileDecoding(), "batch_size max_new_tokens")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_option(parser, "--out", Path, "DIR", "where the result is written (build/bench/model)")
    add_flag(parser, "--json", "print the result as JSON")


def _model(args: argparse.Namespace) -> int:
    require_at_least(args, batch_size=1, rounds=1, limit=1, max_new_tokens=1)
    out = args.out or Path("build/bench/model")
    refuse_file("--out", out)
    peers = [read_peer(text, device=args.device, max_new_tokens=args.max_new_tokens) for text in args.peers]
    find_films = _corpus(args)
    find_captioner(args.name, args.checkpoints)

    from pseudocap.bench.peers.model import bench_model, find_task, model_table, write_model
    from pseudocap.cli.progress import progress_of
    from pseudocap.model.device import pick_device

    quieten(many_trainings=True)
    device = str(pick_device(args.device))
    peers = [replace(peer, device=device) for peer in peers]
    own = Spec(
        kind="pseudocap",
        source=args.name,
        device=device,
        max_new_tokens=args.max_new_tokens,
        checkpoints=args.checkpoints,
    )
    corpus, videos = find_films()
    task = find_task(corpus, videos, split=args.split, limit=args.limit)
    with progress_of("captioning", "videos") as progress:
        document, captions = bench_model(
            task,
            own,
            peers,
            batch=args.batch_size,
            rounds=args.rounds,
            command=command(args),
            progress=progress,
        )
    show_result(args, document, model_table(document), write_model(out, document, captions))
    return 0


def _corpus(args: argparse.Namespace) -> Callable[[], tuple[Corpus, Path]]:
    """Return what is captioned and where its videos lie. Files that are here are read now, so that what is wrong with
    them is reported at once; toy films that are not are drawn when it is called."""
    from pseudocap.data.corpora.own import read_own
    from pseudocap.data.videos import VideoFolder

    if args.data == "toy":
        return _toy_films(args.build, args.split)
    if args.data in ("msrvtt", "msvd"):
        for name in ("annotations", "videos"):
            if getattr(args, name) is None:
                raise InputError(f"--data {args.data}: --{name} is missing; see docs/data.md for what must lie there")
        from pseudocap.data.corpora.msrvtt import read_msrvtt
        from pseudocap.data.corpora.msvd import read_msvd

        corpus = {"msrvtt": read_msrvtt, "msvd": read_msvd}[args.data](args.annotations)
    else:
        corpus = read_own(args.data, split=args.split)
    source = Path(args.data)
    videos = args.videos or (source if source.is_dir() else source.parent)
    VideoFolder(videos)
    corpus.split(args.split)  # both of which report what is not there
    return lambda: (corpus, videos)


def _toy_films(build: Path | None, split: str) -> Callable[[], tuple[Corpus, Path]]:
    from pseudocap.data.corpora.own import read_own

    root = build or Path("build/zoo")
    drawn = (root / "captions.jsonl").is_file()
    if build and not drawn:
        raise InputError(f"--build {root} holds no toy films; make them with `pseudocap zoo build --out {root}`")

    def find() -> tuple[Corpus, Path]:
        home = root
        if not drawn:
            from pseudocap.cli.progress import progress_of
            from pseudocap.zoo.verify import write_test_world

            home = Path("build/toy-films")
            log(f"drawing the toy films into {home}")
            with progress_of("drawing", "films") as progress:
                write_test_world(home, progress=progress)
        corpus = read_own(home / "captions.jsonl", split=split)
        return replace(corpus, name="toy-msrvtt"), home / "world" / "msrvtt" / "videos"

    return find


MODEL = Subcommand(
    summary="a checkpoint beside its peers on the same frames: quality, seconds, memory",
    add=_add_model,
    run=_model,
    example="pseudocap bench model build/zoo/tuned-mixed/run/best --peers git=microsoft/git-base-vatex blip",
)
