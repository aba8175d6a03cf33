"""`pseudocap bench regimes | ablation NAME | model N | throughput | duplicates A B`: what the papers claim, measured,
one command each."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.cli.throughput import add_throughput, run_throughput
from pseudocap.errors import ConfigError, InputError, nearest

if TYPE_CHECKING:
    from pseudocap.data.corpora import Corpus
    from pseudocap.zoo.recipe import Recipe

ROWS = ("asr", "image-only", "video-only", "mixed", "mixed-ext", "none")
COUNTS = "10,100,1000"
ABLATIONS = ("gate-init", "gate-kind", "beta2", "crop", "fusion", "mixture", "losses")
KNOWN = ", ".join(ABLATIONS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing that the verb can do. `add` declares without importing anything heavy, as a verb's does."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    example: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        epilog = f"example:\n  {action.example}"
        action.add(actions.add_parser(name, help=action.summary, description=action.summary, epilog=epilog))


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)


def _tell(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _add_build(parser: argparse.ArgumentParser, *, out: str) -> None:
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="the zoo's build to stand on, made where it is missing (build/zoo)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where the result is written ({out})")
    parser.add_argument("--smoke", action="store_true", help="everything at a size that teaches nothing, in minutes")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw and decode (2)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


# regimes


def _add_regimes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=("toy", "msrvtt", "msvd"), default="toy", help="the corpus (toy)")
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each regime, seeds 0 to N-1 (3)")
    parser.add_argument(
        "--regimes", default=",".join(ROWS), metavar="R,R", help=f"of {', '.join(ROWS)}; none is not pre-trained (all)"
    )
    parser.add_argument(
        "--captions", metavar="N,N", help=f"also fine-tune on so many captions; 0 leaves this out ({COUNTS})"
    )
    _add_build(parser, out="build/bench/regimes")
    parser.add_argument("--annotations", type=Path, metavar="DIR", help="of MSR-VTT or MSVD")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="of MSR-VTT or MSVD")
    parser.add_argument("--allow-partial", action="store_true", help="go on where a corpus's counts are wrong")
    parser.add_argument("--decoder", metavar="D", help="an OPT: a directory or a repo (real corpora)")
    parser.add_argument("--encoder", metavar="E", help="a TimeSformer: a directory or a repo (real corpora)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="tars or memories of images with alt text")
    parser.add_argument("--clips", type=Path, metavar="DIR", help="tars or memories of pseudolabelled clips")
    parser.add_argument("--asr", type=Path, metavar="DIR", help="tars or memories of the same clips with transcripts")
    parser.add_argument(
        "--pretrained",
        action="append",
        default=[],
        metavar="R=N",
        help="a captioner that a regime has pre-trained already; {seed} stands for the seed",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="of pre-training; mixed-ext has ten times as many")
    parser.add_argument("--batch-size", type=int, metavar="N", help="of pre-training, videos")
    parser.add_argument("--lr", type=float, metavar="X", help="of pre-training")


def _regimes(args: argparse.Namespace) -> int:
    regimes = _chosen(args.regimes, ROWS, "--regimes")
    seeds = range(_positive(args.seeds, "--seeds", 2 if args.smoke else 3))
    counts = _counts(args.captions or ("3" if args.smoke else COUNTS))
    build, out = _folders(args, "regimes")

    from pseudocap.bench.real import Files, real_bench
    from pseudocap.bench.regimes import run as run_bench
    from pseudocap.bench.regimes import toy_bench
    from pseudocap.bench.report import table, write_results
    from pseudocap.bench.results import gather
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.zoo.stages import Workshop

    _quieten()
    recipe = _recipe(args)
    options = {"regimes": regimes, "seeds": seeds, "counts": counts, "workers": args.workers}
    with stages_of("bench") as shown:
        shop = Workshop(root=build.resolve(), main=main, progress=shown.draw)
        if args.data == "toy":
            bench = toy_bench(shop, recipe, **options)
        else:
            places = {name: getattr(args, name) for name in Files.__slots__ if hasattr(args, name)}
            files = Files(corpus=args.data, started=_started(args.pretrained), **places)
            bench = real_bench(shop, recipe, files, **options)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, tell=shown.say)
    results = gather(bench, command=_command(args))
    made = write_results(out, results)
    print(json.dumps(results, indent=1) if args.json else "\n".join(table(results)))
    _tell(f"written: {', '.join(map(str, made))}")
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    from pseudocap.zoo.recipe import FULL, SMOKE

    recipe = SMOKE if args.smoke else FULL
    given = {"steps": args.steps, "batch": args.batch_size, "lr": args.lr}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if not value > 0:
            raise InputError(f"--{name} must be above 0, not {value}")
    if given and args.data == "toy":
        raise ConfigError(
            f"--data toy has the zoo's settings (pseudocap/zoo/recipe.py); --{', --'.join(given)} is for real corpora"
        )
    return replace(recipe, regime=replace(recipe.regime, **given))


def _started(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        regime, equals, source = text.partition("=")
        if not equals or not source or regime not in ROWS[:-1]:
            raise InputError(f"--pretrained {text}: write REGIME=CHECKPOINT with a regime of {', '.join(ROWS[:-1])}")
        found[regime] = str(Path(source).resolve()) if Path(source).exists() or "{seed}" in source else source
    return found


def _chosen(text: str, known: Sequence[str], option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"{option}: there is no {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    if not names:
        raise InputError(f"{option} names nothing; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


def _counts(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"--captions {text}: write whole numbers, as in --captions {COUNTS}") from error
    if min(numbers) < 0:
        raise InputError(f"--captions {text}: a fine-tuning cannot have {min(numbers)} captions")
    return sorted({number for number in numbers if number})


def _positive(value: int | None, option: str, default: int) -> int:
    if value is not None and value < 1:
        raise InputError(f"{option} must be at least 1, not {value}")
    return value or default


def _command(args: argparse.Namespace) -> str:
    """What was typed, for the result: files by name, without where they lie on this machine."""
    words = ["pseudocap", "bench", args.action]
    for name, value in vars(args).items():
        if name in ("action", "json", "workers", "out", "build") or value in (None, False, []):
            continue
        option = () if name == "name" else (f"--{name.replace('_', '-')}",)
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [*option, *(_placeless(str(each)) for each in values)]
    return shlex.join(words)


def _placeless(word: str) -> str:
    """A file or folder of this machine by its name alone, also behind a `KIND=`."""
    before, equals, path = word.rpartition("=")
    return f"{before}{equals}{Path(path).name}" if path and Path(path).exists() else word


def _quieten() -> None:
    import logging

    import transformers

    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tells of every trainer which devices there are


# ablation


def _add_ablation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=KNOWN)
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each setting, seeds 0 to N-1 (3)")
    parser.add_argument("--steps", type=int, metavar="N", help="of pre-training (half the zoo's)")
    _add_build(parser, out="build/bench/NAME")


def _ablation(args: argparse.Namespace) -> int:
    if args.name not in ABLATIONS:
        raise InputError(f"there is no ablation {args.name!r}{nearest(args.name, ABLATIONS)}; there are {KNOWN}")
    seeds = range(_positive(args.seeds, "--seeds", 1 if args.smoke else 3))
    steps = None if args.steps is None else _positive(args.steps, "--steps", 1)
    build, out = _folders(args, args.name)

    from pseudocap.bench.ablation_report import ablation_table, gather_ablation, write_ablation
    from pseudocap.bench.ablations import ablation_bench, short
    from pseudocap.bench.regimes import run as run_bench
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.zoo.recipe import FULL, SMOKE
    from pseudocap.zoo.stages import Workshop

    _quieten()
    recipe = SMOKE if args.smoke else FULL
    with stages_of("bench") as shown:
        shop = Workshop(root=build.resolve(), main=main, progress=shown.draw)
        plan = short(recipe.regime, steps)
        bench, arms = ablation_bench(args.name, shop, recipe, plan, seeds=seeds, workers=args.workers)
        build.mkdir(parents=True, exist_ok=True)
        run_bench(bench, tell=shown.say)
    result = gather_ablation(args.name, bench, arms, command=_command(args))
    made = write_ablation(out, result)
    print(json.dumps(result, indent=1) if args.json else "\n".join(ablation_table(result)))
    _tell(f"written: {', '.join(map(str, made))}")
    return 0


def _folders(args: argparse.Namespace, name: str) -> tuple[Path, Path]:
    """Where the cells lie, and where the result goes."""
    smoke, data = "-smoke" if args.smoke else "", getattr(args, "data", "toy")
    whose = "" if data == "toy" else f"-{data}"
    build = args.build or Path("build") / (f"bench{whose}{smoke}" if whose else "smoke" if args.smoke else "zoo")
    out = args.out or Path("build/bench") / f"{name}{whose}{smoke}"
    for option, path in (("--build", build), ("--out", out)):
        if path.is_file():
            raise ConfigError(f"{option} {path} is a file; name a folder")
    if args.workers < 0:
        raise InputError(f"--workers must be 0 or more, not {args.workers}")
    return build, out


# model


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="N", help="a PseudoCap: a row of the zoo, a repo, an address or a directory")
    add_checkpoints_option(parser)
    parser.add_argument(
        "--data", default="toy", metavar="D", help="toy, msrvtt, msvd, or a file of captions of your own (toy)"
    )
    parser.add_argument("--annotations", type=Path, metavar="DIR", help="of MSR-VTT or MSVD")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="where the videos lie (own: beside the captions)")
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="whose toy films (build/zoo; without one they are drawn anew)"
    )
    parser.add_argument("--split", default="test", metavar="S", help="what is captioned (test)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N videos only")
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="KIND[=P]",
        help="git, blip or blip2, each with a directory or a repo; alone it is timed with random weights",
    )
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips side by side (8)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times that each is timed (5)")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="the longest caption (32)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the result is written (build/bench/model)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _model(args: argparse.Namespace) -> int:
    for option in ("batch_size", "rounds", "limit", "max_new_tokens"):
        _positive(getattr(args, option), f"--{option.replace('_', '-')}", 1)
    out = args.out or Path("build/bench/model")
    if out.is_file():
        raise ConfigError(f"--out {out} is a file; name a folder")

    from pseudocap.bench.model import bench_model, find_task, model_table, write_model
    from pseudocap.bench.peers import Spec, read_peer
    from pseudocap.captioner import pick_device
    from pseudocap.cli.progress import progress_of

    _quieten()
    device = str(pick_device(args.device))
    peers = [read_peer(text, device=device, max_new_tokens=args.max_new_tokens) for text in args.peers]
    own = Spec(
        kind="pseudocap",
        source=args.name,
        device=device,
        max_new_tokens=args.max_new_tokens,
        checkpoints=args.checkpoints,
    )
    corpus, videos = _corpus(args)
    task = find_task(corpus, videos, split=args.split, limit=args.limit)
    with progress_of("captioning", "videos") as progress:
        document, captions = bench_model(
            task,
            own,
            peers,
            batch=args.batch_size,
            rounds=args.rounds,
            command=_command(args),
            progress=progress,
        )
    made = write_model(out, document, captions)
    print(json.dumps(document, indent=1) if args.json else "\n".join(model_table(document)))
    _tell(f"written: {', '.join(map(str, made))}")
    return 0


def _corpus(args: argparse.Namespace) -> tuple[Corpus, Path]:
    from pseudocap.cli.progress import progress_of
    from pseudocap.data.captions import read_own
    from pseudocap.data.msrvtt import read_msrvtt
    from pseudocap.data.msvd import read_msvd

    if args.data in ("msrvtt", "msvd"):
        for name in ("annotations", "videos"):
            if getattr(args, name) is None:
                raise InputError(f"--data {args.data}: --{name} is missing; see docs/data.md for what must lie there")
        return {"msrvtt": read_msrvtt, "msvd": read_msvd}[args.data](args.annotations), args.videos
    if args.data != "toy":
        source = Path(args.data)
        return read_own(source, split=args.split), args.videos or (source if source.is_dir() else source.parent)
    root = args.build or Path("build/zoo")
    if not (root / "captions.jsonl").is_file():
        if args.build:
            raise InputError(f"--build {root} holds no toy films; make them with `pseudocap zoo build --out {root}`")
        from pseudocap.zoo.verify import write_test_world

        root = Path("build/toy-films")
        _tell(f"drawing the toy films into {root}")
        with progress_of("drawing", "films") as progress:
            write_test_world(root, progress=progress)
    corpus = read_own(root / "captions.jsonl", split=args.split)
    return replace(corpus, name="toy-msrvtt"), root / "world" / "msrvtt" / "videos"


# duplicates


def _add_duplicates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("test", type=Path, metavar="A", help="test videos: a file or a folder")
    parser.add_argument(
        "seen", type=Path, nargs="+", metavar="B", help="videos, images, or tars that were learned from"
    )
    parser.add_argument("--threshold", type=float, default=0.99, metavar="X", help="correlation of frames (0.99)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _duplicates(args: argparse.Namespace) -> int:
    from pseudocap.bench.duplicates import files_of, find_duplicates
    from pseudocap.cli.progress import progress_of

    if not args.test.exists():
        raise InputError(f"{args.test}: there is no such file or folder; name the test videos")
    with progress_of("comparing", "samples") as progress:
        found = find_duplicates(files_of(args.test), args.seen, threshold=args.threshold, progress=progress)
    if args.json:
        print(json.dumps(found.document(), indent=1))
        return 0
    for pair in found.duplicates:
        print(f"{pair.alike:.4f}  {pair.test}  {pair.seen}")
    likest = found.nearest[0]
    print(
        f"{len(found.duplicates):,} of {len(found.nearest):,} test videos are near-duplicates of {found.compared:,} "
        f"samples (from {found.threshold:g} on); the likest pair: {likest.test}, {likest.seen} ({likest.alike:.4f})"
    )
    for name in found.unreadable[:5]:
        print(f"not compared: {name}")
    return 0


# `add` may not import anything heavy; `run` may.
ACTIONS = {
    "regimes": Action(
        summary="the regimes side by side: pre-trained, fine-tuned, scored, with intervals over seeds",
        add=_add_regimes,
        run=_regimes,
        example="pseudocap bench regimes --data toy --seeds 3",
    ),
    "ablation": Action(
        summary="one of the papers' side findings as a grid of settings, on the toy world",
        add=_add_ablation,
        run=_ablation,
        example="pseudocap bench ablation gate-init",
    ),
    "model": Action(
        summary="a checkpoint beside its peers on the same frames: quality, seconds, memory",
        add=_add_model,
        run=_model,
        example="pseudocap bench model build/zoo/tuned-mixed/run/best --peers git=microsoft/git-base-vatex blip",
    ),
    "throughput": Action(
        summary="how many times as fast as named alternatives everything is; fails below the floors",
        add=add_throughput,
        run=run_throughput,
        example="pseudocap bench throughput decode-12 train-memories",
    ),
    "duplicates": Action(
        summary="which test videos are near-duplicates of what was learned from",
        add=_add_duplicates,
        run=_duplicates,
        example="pseudocap bench duplicates msrvtt/test/ laion/ pseudolabels/",
    ),
}
