"""Compare retrievers on the videos of a split: `pseudocap bench retrieval DATA --retriever NAME`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.bench_options import command, show_result
from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.errors import InputError
from pseudocap.memory import GROUPS

if TYPE_CHECKING:
    from pseudocap.data.corpora.base import Mismatch


def _add_retrieval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="DATA", help="captions of your own, or msrvtt-1ka:DIR and the like (docs/data.md)"
    )
    parser.add_argument(
        "--retriever",
        action="extend",
        nargs="+",
        required=True,
        metavar="NAME",
        help="one of ours, a CLIP or SigLIP, or CAPTIONER+SENTENCE_ENCODER; several are compared",
    )
    add_checkpoints_option(parser)
    add_option(parser, "--videos", Path, "DIR", "where the videos lie (beside the captions)")
    add_option(parser, "--split", "test", "S", "what is searched")
    add_option(parser, "--list", Path, "FILE", "ids of the videos that make up the split (.txt, or .csv with video_id)")
    add_option(parser, "--limit", int, "N", "the first N videos only")
    add_option(parser, "--trained-on", str, "DATA", "refuse to search what this corpus trains on")
    add_option(parser, "--frames", int, "N", "of a video; default: the retriever's own")
    parser.add_argument(
        "--modalities", choices=GROUPS, help="of retrievers that hear: av, both; v, sight alone; a, sound alone (av)"
    )
    add_option(parser, "--batch-size", 8, "N", "videos embedded at a time")
    add_option(parser, "--dual-softmax", float, "T", "also with a softmax over the queries, of this temperature")
    add_option(parser, "--bootstrap", 1000, "N", "draws of videos for intervals; 0 for none")
    add_flag(parser, "--allow-partial", "go on where counts are wrong, and report it")
    add_flag(parser, "--allow-leak", "go on where searched videos were trained on, and report it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_option(parser, "--out", Path, "DIR", "where the result is written (build/bench/retrieval)")
    add_flag(parser, "--json", "print the result as JSON")


def _retrieval(args: argparse.Namespace) -> int:
    from pseudocap.data.corpora.named import NamedCorpus
    from pseudocap.data.corpora.splits import refuse_trained_on, resplit
    from pseudocap.data.videos import VideoFolder
    from pseudocap.hub.retrievers import find_retriever

    out = args.out or Path("build/bench/retrieval")
    refuse_file("--out", out)
    _check(args)
    named = NamedCorpus.of(args.name)
    named.require("DATA")
    corpus = named.read(split="test", allow_partial=args.allow_partial)
    if args.list is not None:
        corpus = resplit(corpus, {args.split: args.list}, allow_leak=args.allow_leak)
    searched = corpus.split(args.split)
    leaks: tuple[Mismatch, ...] = ()
    if args.trained_on is not None:
        trained = NamedCorpus.of(args.trained_on)
        trained.require("--trained-on")
        learned = trained.read(split="train", allow_partial=args.allow_partial).split("train")
        leaks = refuse_trained_on(learned, searched, allow_leak=args.allow_leak)
    videos = args.videos or named.folder
    VideoFolder(videos)
    found = {_public(name): find_retriever(name, checkpoints=args.checkpoints) for name in args.retriever}

    from pseudocap.bench.claims.report import write_table
    from pseudocap.bench.peers.retrieval import retrieval_document, retrieval_table
    from pseudocap.cli.progress import progress_of
    from pseudocap.evaluate.retriever import find_retrieval_task, measure_retrievers
    from pseudocap.external_retrieval import load_retriever
    from pseudocap.retriever import Retriever

    quieten(many_trainings=True)
    task = find_retrieval_task(corpus, videos, split=args.split, limit=args.limit)
    retrievers = {
        name: load_retriever(each, checkpoints=args.checkpoints, device=args.device) for name, each in found.items()
    }
    if args.modalities is not None:
        for name, retriever in retrievers.items():
            if not isinstance(retriever, Retriever):
                raise InputError(f"{name} sees alone, and --modalities is for retrievers that hear")
            retriever.listen_to(args.modalities)
    with progress_of("embedding", "videos") as progress:
        scores, faults = measure_retrievers(
            retrievers,
            task,
            num_frames=args.frames,
            batch_size=args.batch_size,
            dual_softmax=args.dual_softmax,
            bootstrap=args.bootstrap,
            progress=progress,
        )
    settings = {"command": _command(args, named.short), "bootstrap": args.bootstrap, "frames": args.frames}
    document = retrieval_document(scores, task, faults, leaks=leaks, **settings)
    table = retrieval_table(document)
    show_result(args, document, table, write_table(out, table, document))
    return 0


def _check(args: argparse.Namespace) -> None:
    require_at_least(args, batch_size=1, limit=1, frames=1, bootstrap=0)
    if args.bootstrap == 1:
        raise InputError("--bootstrap is 1; it takes at least 2 draws, 1000 are usual, and 0 is none")
    if args.dual_softmax is not None and not args.dual_softmax > 0:
        raise InputError(f"--dual-softmax is {args.dual_softmax:g} and must be a temperature above 0, 0.01 for example")
    names = [_public(name) for name in args.retriever]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--retriever {twice[0]} is given twice; give each once, folders by names that differ")


def _public(name: str) -> str:
    """Return a retriever's name without the folders where it lies on this machine."""
    parts = [name] if Path(name).exists() else name.split("+")
    return "+".join(Path(part).name if Path(part).expanduser().exists() else part for part in parts)


def _command(args: argparse.Namespace, short: str) -> str:
    from pseudocap.data.corpora.named import NamedCorpus

    public = {**vars(args), "name": short, "retriever": [_public(name) for name in args.retriever]}
    if args.trained_on is not None:
        public["trained_on"] = NamedCorpus.of(args.trained_on).short
    return command(argparse.Namespace(**public))


RETRIEVAL = Subcommand(
    summary="retrievers on the same videos: recalls both ways with intervals, chance beside them",
    add=_add_retrieval,
    run=_retrieval,
    example="pseudocap bench retrieval msrvtt-1ka:data/msrvtt --retriever openai/clip-vit-base-patch32",
)
