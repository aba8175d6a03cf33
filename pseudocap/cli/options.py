"""Declare options of the command line: each default stands once, and gives the option its type and its help its end."""

from __future__ import annotations

import argparse
from typing import Any


def add_option(
    parser: argparse._ActionsContainer, name: str, given: Any, metavar: str | None, meaning: str, **more: Any
) -> None:
    """Declare an option by its default, or by its type where it has none."""
    if isinstance(given, type):
        parser.add_argument(name, type=given, metavar=metavar, help=meaning, **more)
        return
    default = f"{given:g}" if isinstance(given, int | float) else str(given)
    parser.add_argument(name, type=type(given), default=given, metavar=metavar, help=f"{meaning} ({default})", **more)


def add_flag(parser: argparse._ActionsContainer, name: str, meaning: str) -> None:
    parser.add_argument(name, action="store_true", help=meaning)
