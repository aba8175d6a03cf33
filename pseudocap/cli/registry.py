"""`--checkpoints`, the option of every verb that takes a checkpoint's name."""

from __future__ import annotations

import argparse


def add_checkpoints_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--checkpoints",
        metavar="FILE_OR_URL",
        help="a registry of your own beside the shipped checkpoints.yaml (default: $PSEUDOCAP_CHECKPOINTS)",
    )
