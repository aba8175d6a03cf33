"""Learn from a folder of videos by one command that resumes: `pseudocap learn VIDEOS --out RUN`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import refuse_file, require_at_least, require_clip_lengths
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_CAPTIONER, find_captioner, print_toy_notice
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.errors import ConfigError, DataError, InputError

if TYPE_CHECKING:
    from pseudocap.learn.build import Machine
    from pseudocap.learn.estimate import Estimate
    from pseudocap.learn.plan import LearnPlan

BEST_TEACHER = "blip-large"  # a row of the zoo, where there is a GPU
SHARE = 0.1

EPILOG = """A teacher captions every clip; the captioner learns those captions from memories of the frozen encoder, and
is measured before and after on videos that it never learned from. RUN/report.html has the result, RUN/captioner
the captioner (pseudocap caption FILE --checkpoint RUN takes it as well).

Run the same command again to go on where it was stopped. Changed options make anew what depends on them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "videos", metavar="VIDEOS", help="what `pseudocap label` takes: a folder, list or tars of videos"
    )
    add_option(parser, "--out", Path, "RUN", "the folder to write", required=True)
    parser.add_argument(
        "--start", metavar="N", help=f"the captioner that learns: a row, a repo, a directory ({DEFAULT_CAPTIONER})"
    )
    parser.add_argument(
        "--teacher",
        metavar="T",
        help=f"who captions the clips, as for `pseudocap label` ({BEST_TEACHER} with a GPU, where it is cached or the "
        "hub answers; else the captioner itself)",
    )
    parser.add_argument(
        "--captions",
        type=NamedCorpus.of,
        metavar="C",
        help="people's captions of some videos, a file or msrvtt:DIR: score against them",
    )
    add_flag(parser, "--finetune", "also learn people's captions of videos that are not held out")
    parser.add_argument("--regime", choices=("video-only", "mixed"), help="mixed where --pictures are given")
    add_option(parser, "--pictures", Path, "FILE", "captioned pictures to learn beside the clips, half of the batches")
    add_option(parser, "--steps", int, "N", "of training (10 passes over the clips, from 40 to 2,000)")
    add_option(parser, "--holdout", float, "R", f"share of the videos that is never learned, at least two ({SHARE:g})")
    add_option(parser, "--clip-seconds", float, "S", "length of a clip (8)")
    add_option(parser, "--seed", int, None, "of the share held out, the labels and the training (0)")
    add_option(parser, "--workers", 2, "N", "processes that decode")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_flag(parser, "--dry-run", "print what it would take: time by stage, disk, what is fetched")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    _refuse_mistakes(args)
    plan, before = _begun(args)
    toy = find_captioner(plan.start, None)
    _check_teacher(plan)
    plan = _with_videos(args, plan, before)

    # Here, after everything that can be checked without torch, which takes seconds to be imported.
    from pseudocap.hub.checkpoint import read_config
    from pseudocap.learn.build import Machine
    from pseudocap.model.device import pick_device

    quieten()
    print_toy_notice(plan.start, read_config(toy.folder))
    machine = Machine(device=pick_device(args.device).type, workers=args.workers)
    if not plan.teacher:
        plan = replace(plan, teacher=_default_teacher(plan.start, machine))
    if args.dry_run or before is None:
        found = _estimate(plan, machine, args.out)
        _print_estimate(args, plan, found)
        if objection := found.objection(args.out):
            raise DataError(objection)
    if args.dry_run:
        return 0
    try:
        document = _learn(args.out, plan, machine)
    except KeyboardInterrupt:
        print(f"\n{args.out} keeps what is done: run the same command again to go on", file=sys.stderr)
        raise
    _print_result(args, document)
    return 0


def _refuse_mistakes(args: argparse.Namespace) -> None:
    refuse_file("--out", args.out)
    if "://" not in args.videos and not Path(args.videos).exists():
        raise DataError(f"{args.videos}: there is no such folder or file; name a folder of videos, a list or a tar")
    require_at_least(args, steps=1, workers=0)
    if args.holdout is not None and not 0 < args.holdout < 1:
        raise InputError(f"--holdout must be a share above 0 and below 1, not {args.holdout:g}")
    if args.clip_seconds is not None:
        require_clip_lengths(args.clip_seconds)
    if args.seed is not None and not 0 <= args.seed < 2**32:
        raise InputError(f"--seed must be from 0 to below 2**32, not {args.seed}")
    if args.teacher in ("asr", "null"):
        raise ConfigError(f"--teacher {args.teacher} does not look at clips; name a captioner or an image-text model")
    if args.captions is not None:
        args.captions.require("--captions")
    if args.pictures is not None and not args.pictures.is_file():
        raise InputError(f"--pictures {args.pictures}: there is no such file")
    if (args.regime == "mixed") != (args.pictures is not None) and args.regime is not None:
        raise ConfigError("--regime mixed and --pictures FILE belong together: give both, or --pictures alone")


def _begun(args: argparse.Namespace) -> tuple[LearnPlan, LearnPlan | None]:
    """Return the plan but for its videos, with what the run in --out has begun with where an option is not given; and
    the plan that it has begun with."""
    from pseudocap.learn.collect import VIDEOS, holds_collected
    from pseudocap.learn.plan import LearnPlan, read_plan

    before = read_plan(args.out)
    known = {".lock", *([VIDEOS] if holds_collected(args.out) else [])}
    if before is None and args.out.is_dir() and any(path.name not in known for path in args.out.iterdir()):
        raise ConfigError(f"--out {args.out} holds something that no `pseudocap learn` began; name another folder")
    plan = before or LearnPlan(root="", videos=(), unreadable={}, start=DEFAULT_CAPTIONER, teacher="")
    plan = replace(plan, **_given(args))
    if before is not None and before.teaches_itself and args.start is not None and args.teacher is None:
        plan = replace(plan, teacher="")
    if plan.tune and plan.captions is None:
        raise ConfigError("--finetune learns people's captions: name them with --captions FILE")
    return plan, before


def _with_videos(args: argparse.Namespace, plan: LearnPlan, before: LearnPlan | None) -> LearnPlan:
    """Return the plan with its videos, and which of them are held out."""
    from pseudocap.cli.progress import progress_of
    from pseudocap.learn.collect import video_folder
    from pseudocap.learn.plan import (
        FEWEST,
        files_of,
        find_videos,
        hold_out,
        peoples_captions,
        refuse_other_videos,
        require_enough,
    )

    with progress_of("collecting", "videos") as progress:
        root, problems = video_folder(args.videos, args.out, progress)
    with progress_of("looking for videos", "files") as progress:
        videos, unreadable = find_videos(root, progress)
    require_enough(args.videos, videos)
    if before is not None:
        refuse_other_videos(args.out, before, root, videos)
    plan = replace(plan, root=str(root), videos=videos, unreadable={**problems, **unreadable})
    corpus = peoples_captions(plan)
    plan = hold_out(plan, corpus)
    if plan.tune and corpus is not None:
        learned = set(files_of(plan, corpus).values()) - set(plan.held_out)
        if len(learned) < FEWEST:
            raise DataError(
                f"--finetune: people captioned {len(learned)} videos that are not held out, and it takes at least "
                f"{FEWEST}; add captions, or lower --holdout"
            )
    return plan


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as the plan's fields; files by their full paths."""
    names = ("steps", "holdout", "clip_seconds", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.pictures is not None:
        given["pictures"] = str(args.pictures.resolve())
    if args.captions is not None:
        given["captions"] = str(replace(args.captions, path=args.captions.path.resolve()))
    for name in ("start", "teacher"):
        if (value := getattr(args, name)) is not None:
            folder = Path(value).expanduser()
            given[name] = str(folder.resolve()) if folder.is_dir() else value
    if args.regime == "video-only":  # also where the run began with pictures
        given["pictures"] = None
    return given | ({"tune": True} if args.finetune else {})


def _label_args(plan: LearnPlan, machine: Machine | None = None) -> argparse.Namespace:
    """Return the options of the run's `pseudocap label`, parsed, for what looks at the teacher."""
    from pseudocap.cli import label
    from pseudocap.learn.build import Machine, teacher_words

    parser = argparse.ArgumentParser()
    label.add_arguments(parser)
    machine = machine or Machine(device="cpu")
    return parser.parse_args(["-", "--out", "-", "--device", machine.device, *teacher_words(plan, machine)])


def _check_teacher(plan: LearnPlan) -> None:
    from pseudocap.cli.teachers import check_teacher

    if plan.teacher and not plan.teaches_itself:
        check_teacher(_label_args(plan))


def _default_teacher(start: str, machine: Machine) -> str:
    """Return the best teacher at hand: an image-text model on a GPU, else the captioner itself."""
    from pseudocap.files.sources import hub_answers
    from pseudocap.hub.fetch import find_row

    row = find_row(BEST_TEACHER)
    if machine.device == "cpu" or row is None:
        return start
    at_hand = _is_at_hand(BEST_TEACHER) or hub_answers(row.weights, revision=row.revision)
    return BEST_TEACHER if at_hand else start


def _is_at_hand(name: str) -> bool:
    """Return whether a captioner or teacher is on this disk; of a repo, whether its weights are in the hub's cache."""
    from pseudocap.files.sources import is_cached, is_directory, resolve_source
    from pseudocap.hub.fetch import WEIGHTS_FILE, find_row, split_written

    row = find_row(name)
    source, revision = (row.weights, row.revision) if row is not None else split_written(name)
    if "://" in name and not name.startswith(("hf://", "pseudocap://")):
        return False
    repo = resolve_source(source)
    files = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", WEIGHTS_FILE)
    return is_directory(source) or any(is_cached(repo, file, revision=revision) for file in files)


def _estimate(plan: LearnPlan, machine: Machine, out: Path) -> Estimate:
    from pseudocap.captioner import PseudoCap
    from pseudocap.cli.progress import stages_of
    from pseudocap.cli.teachers import build_teacher, framing_of
    from pseudocap.learn.estimate import estimate

    away = [name for name in dict.fromkeys((plan.start, plan.teacher)) if not _is_at_hand(name)]
    with stages_of("measuring") as display:
        display.log(f"loading {plan.start}")
        model = PseudoCap.from_pretrained(plan.start, device=machine.device)
        teacher = framing = None
        if plan.teacher not in away:
            args = _label_args(plan, machine)
            if not plan.teaches_itself:
                display.log(f"loading {plan.teacher}")
            teacher = build_teacher(args)
            framing = framing_of(args, teacher)
        return estimate(plan, model, teacher, framing, out=out, fetched=away, begins=display.log)


def _print_estimate(args: argparse.Namespace, plan: LearnPlan, found: Estimate) -> None:
    from pseudocap.learn.estimate import size_text
    from pseudocap.learn.plan import describe

    if args.json and args.dry_run:
        costs = [asdict(cost) for cost in found.costs]
        about = {"stages": costs, "seconds": found.seconds, "bytes": found.bytes, "free": found.free}
        print(json.dumps({**describe(plan), **about, "fetched": list(found.fetched)}, indent=1))
        return
    _, held = plan.counts
    lines = [
        f"{args.videos}: {len(plan.videos):,} videos, {plan.seconds / 3600:.2f} hours, {plan.clips:,} clips; "
        f"{held:,} clips of {len(plan.held_out):,} videos are held out",
        *(f"cannot be read: {name}: {reason}" for name, reason in list(plan.unreadable.items())[:5]),
        f"start {plan.start}, teacher {'itself' if plan.teaches_itself else plan.teacher}, {plan.regime}, "
        f"{plan.optimiser_steps:,} steps of {plan.batch} clips",
        *(f"  {cost.stage:<9} about {_time_text(cost.seconds)} ({cost.basis})" for cost in found.costs),
        f"  in all    about {_time_text(found.seconds)}, besides loading; "
        f"{size_text(found.bytes)} on disk, {size_text(found.free)} free",
        f"  fetched   {', '.join(found.fetched) or 'nothing'}",
    ]
    print("\n".join(lines), file=sys.stderr if args.json else sys.stdout, flush=True)


def _time_text(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1, seconds):.0f} s"


def _learn(out: Path, plan: LearnPlan, machine: Machine) -> dict[str, Any]:
    from pseudocap.cli.main import GO_ON, main
    from pseudocap.cli.progress import stages_of
    from pseudocap.files.lock import locked
    from pseudocap.learn.build import stages
    from pseudocap.learn.plan import PAGE, REPORT
    from pseudocap.stages import Workshop

    def on_line(text: str) -> None:
        if not text.startswith(GO_ON):  # with a verb by itself, where `learn` goes on with the whole
            display.log(text)

    with locked(out, "learning"), stages_of("learning") as display:
        shop = Workshop(root=out.resolve(), main=main, progress=display.draw, log=display.log, on_line=on_line)
        steps = stages(shop, plan, machine)
        if anew := [name for name, state in shop.states(steps).items() if state == "other"]:
            display.log(f"other settings than before: {', '.join(anew)} will be made anew")
        plan.save(out)
        shop.run(steps)
        shutil.copyfile(shop.folder(REPORT) / PAGE, out / PAGE)
    return shop.reports[REPORT]


def _print_result(args: argparse.Namespace, document: dict[str, Any]) -> None:
    from pseudocap.learn.plan import CAPTIONER, PAGE

    if args.json:
        print(json.dumps({"out": str(args.out), **document}, indent=1))
        return
    print(document["verdict"])
    print(f"the report:    {args.out / PAGE}")
    print(f"the captioner: {args.out / CAPTIONER} (pseudocap caption FILE --checkpoint {args.out})")
