"""Find the checkpoints that a verb names: `--checkpoints`, and a captioner before torch is imported."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.hub.fetch import Fetched


def add_checkpoints_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--checkpoints",
        metavar="FILE_OR_URL",
        help="a registry of your own beside the shipped checkpoints.yaml (default: $PSEUDOCAP_CHECKPOINTS)",
    )


def find_captioner(
    name: str, checkpoints: str | None, *, decoder: str | None = None, encoder: str | None = None
) -> Fetched:
    """Locate the captioner; a name that is none, a folder that holds none and a backbone that has gone are reported
    now, and not after the seconds that torch takes to be imported."""
    from pseudocap.hub.checkpoint import check_folder
    from pseudocap.hub.fetch import fetch

    found = fetch(name, checkpoints=checkpoints)
    check_folder(found.folder, {"decoder": decoder, "encoder": encoder})
    return found
