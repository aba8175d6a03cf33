"""Add actions to a verb that does several things (`pseudocap zoo list | show | ...`), each with its own help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Subcommand:
    """Describe one action of a verb. `add` declares without importing anything heavy, as a verb's does."""

    summary: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_actions(parser: argparse.ArgumentParser, actions: Mapping[str, Subcommand]) -> None:
    """Add the actions to a parser; their names become `args.action`."""
    parsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in actions.items():
        epilog = f"example:\n  {action.example}"
        action.add(parsers.add_parser(name, help=action.summary, description=action.summary, epilog=epilog))
