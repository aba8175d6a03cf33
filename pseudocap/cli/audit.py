"""Judge labels beside speech on a page, and mined ones alone: `pseudocap audit LABELS --asr TRANSCRIPTS`; `--report`
gives the result."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.local_page import login_name, serve_page
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import counted
from pseudocap.cli.tables import print_table
from pseudocap.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pseudocap.label.audit.report import AuditReport
    from pseudocap.label.audit.store import AuditStore
    from pseudocap.types import Clip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="the --out of a `pseudocap label`, or caption rows (.jsonl)"
    )
    add_option(
        parser,
        "--asr",
        Path,
        "TRANSCRIPTS",
        "the speech: caption.json, a folder of csv files, or the labels of speech; not needed to go on with an audit, "
        "nor for mined labels, of which it is asked whether one frame at least is aligned with the caption",
    )
    add_option(parser, "--n", int, "N", "clips to judge (100)")
    add_option(parser, "--seed", int, None, "of which clips, their order and their sides (0)")
    add_option(parser, "--videos", Path, "DIR", "where the videos lie now, if they have moved")
    add_option(parser, "--answers", Path, "FILE", "SQLite file (default: LABELS/audit.sqlite)")
    add_option(parser, "--rater", str, "NAME", "who judges, unless the page names another (default: your login)")
    add_option(parser, "--port", 8765, None, "of the page, on this machine only; 0: any free")
    add_flag(parser, "--allow-partial", "go on where transcripts are broken")
    add_flag(parser, "--report", "do not serve; report what was judged")
    add_option(parser, "--html", Path, "FILE", "with --report: also as one HTML file")
    add_flag(parser, "--json", "with --report: as JSON")


def run(args: argparse.Namespace) -> int:
    if not args.labels.exists():
        raise DataError(f"{args.labels}: there is no such folder of labels; name the --out of pseudocap label")
    home = args.labels if args.labels.is_dir() else args.labels.parent
    rows = args.labels.is_file() and args.labels.suffix != ".parquet"  # of which several files may lie side by side
    answers = args.answers or home / (f"{args.labels.stem}.audit.sqlite" if rows else "audit.sqlite")
    if args.report:
        return _report(args, answers)
    for option in ("html", "json"):
        if getattr(args, option):
            raise ConfigError(f"--{option} is a form of the result: give --report with it")
    return _serve(args, _begun(args, answers))


def _begun(args: argparse.Namespace, answers: Path) -> AuditStore:
    from pseudocap.label.audit.pairs import draw_candidates, pair_up, stand_alone
    from pseudocap.label.audit.store import AuditStore
    from pseudocap.label.row_labels import read_any_labels

    drawing = [name for name in ("n", "seed", "videos") if getattr(args, name) is not None]
    alone = args.asr is None and (drawing or not answers.is_file()) and _are_mined(args.labels)
    if args.asr is None and not alone:
        return _resumed(args, answers, drawing)
    if args.asr is not None:
        _refuse_same(args.labels, args.asr)
    n, seed = 100 if args.n is None else args.n, args.seed or 0
    labels = read_any_labels(args.labels, root=args.videos)
    candidates = draw_candidates(counted(labels, "reading labels"), n=n, seed=seed)
    if alone:
        draw = stand_alone(candidates, n=n)
    else:
        draw = pair_up(candidates, _spoken(args, [label.clip for label in candidates.labels]), n=n)
    if len(draw.pairs) < n:
        lacking = ([] if alone else [f"{draw.silent:,} are without speech"]) + [
            f"{len(draw.missing):,} without a video"
        ]
        print(
            f"only {len(draw.pairs)} of {n} clips: of {len(candidates.labels):,} drawn from {candidates.kept:,} "
            f"labels {' and '.join(lacking)}",
            file=sys.stderr,
        )
    return AuditStore.create(answers, seed=seed, pairs=draw.pairs)


def _refuse_same(labels: Path, speech: Path) -> None:
    """Refuse labels that would be judged beside themselves, as a folder or as one of its files."""
    one, other = labels.resolve(), speech.resolve()
    if one == other or (other.suffix == ".parquet" and other.parent == one):
        raise ConfigError(
            f"--asr {speech} are the labels that are judged; name the speech to judge them beside: caption.json, "
            "a folder of csv files, or the labels of speech"
        )


def _are_mined(labels: Path) -> bool:
    """Return whether labels were mined, by the first of them."""
    from pseudocap.label.row_labels import read_any_labels
    from pseudocap.label.schema import MINED

    return next((label.teacher == MINED for label in read_any_labels(labels)), False)


def _resumed(args: argparse.Namespace, answers: Path, drawing: list[str]) -> AuditStore:
    """Resume an audit that was begun before, without reading labels and transcripts again."""
    from pseudocap.label.audit.store import AuditStore

    if drawing or not answers.is_file():
        what = f"--{drawing[0]} is about drawing clips, and" if drawing else f"there is no {answers} to go on with, and"
        raise ConfigError(f"{what} --asr is missing: the transcripts that the labels are set beside")
    return AuditStore.open(answers)


def _spoken(args: argparse.Namespace, clips: list[Clip]) -> dict[Clip, str]:
    from pseudocap.data.corpora.base import Checks
    from pseudocap.data.corpora.howto100m import read_transcripts
    from pseudocap.label.audit.pairs import speech_in_labels, speech_in_transcripts
    from pseudocap.label.schema import holds_labels, read_labels

    if args.asr.suffix == ".parquet" or holds_labels(args.asr):
        return speech_in_labels(clips, counted(read_labels(args.asr), "reading speech"))
    transcripts = read_transcripts(args.asr, Checks(allow_partial=args.allow_partial))
    return speech_in_transcripts(clips, counted(transcripts, "reading transcripts"))


def _serve(args: argparse.Namespace, store: AuditStore) -> int:
    from pseudocap.label.audit.server import AuditServer

    def closing() -> str:
        return f"{len(store.judgements()):,} answers are in {store.path}; --report sums them up"

    with AuditServer(store, rater=args.rater or login_name("rater"), port=args.port) as server:
        return serve_page(server, f"judge {len(store.pairs)} clips", closing)


def _report(args: argparse.Namespace, answers: Path) -> int:
    from pseudocap.label.audit.report import judged_pairs, report_of
    from pseudocap.label.audit.report_page import write_report_page
    from pseudocap.label.audit.store import AuditStore

    store = AuditStore.open(answers)
    report = report_of(store)
    if args.html:
        write_report_page(args.html, report, counted(judged_pairs(store), "decoding frames"))
    if args.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _print_report(report)
    return 0


def _print_report(report: AuditReport) -> None:
    from pseudocap.label.audit.report_page import summary

    print(summary(report))
    for title, figures in {
        "all raters": report.figures,
        **(report.by_rater if len(report.by_rater) > 1 else {}),
    }.items():
        rows = [
            (each.says, f"{each.share:.1f}", f"{each.low:.1f} to {each.high:.1f}", str(each.papers or ""))
            for each in figures
        ]
        print_table(title, ("", "share %", "95 % interval", "papers"), rows, left=("",))
    for each in report.agreements:
        kappa = "undefined" if each.kappa is None else f"{each.kappa:.2f}"
        agreed = "" if each.agreed is None else f", agreed on {each.agreed:.0f} %"
        print(f"{' and '.join(each.raters)} on {each.subject}: {each.clips} clips{agreed}, Cohen's kappa {kappa}")
