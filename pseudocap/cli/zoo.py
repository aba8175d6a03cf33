"""`pseudocap zoo list | show N`: which weights have a name here, and what is known of one of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.errors import CheckpointError, nearest

if TYPE_CHECKING:
    from pseudocap.hub.manifest import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing that the verb can do. `add` declares without importing anything heavy, as a verb's does."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        action.add(actions.add_parser(name, help=action.summary, description=action.summary))


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_checkpoints_option(parser)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="N", help="the row's name")
    _add_list(parser)


def _list(args: argparse.Namespace) -> int:
    from pseudocap.hub.manifest import all_rows

    rows = all_rows(args.checkpoints)
    if args.json:
        print(json.dumps([_document(row) for row in rows.values()], indent=2))
        return 0
    if not rows:
        print("no weights are released yet; name a registry of your own with --checkpoints FILE_OR_URL")
        return 0
    _print_table(rows)
    return 0


def _show(args: argparse.Namespace) -> int:
    import yaml

    from pseudocap.hub.manifest import all_rows

    rows = all_rows(args.checkpoints)
    row = rows.get(args.name)
    if row is None:
        offer = ", ".join(rows) or "none"
        raise CheckpointError(f"no row is named {args.name!r}{nearest(args.name, rows)}; there are: {offer}")
    if args.json:
        print(json.dumps(_document(row), indent=2))
        return 0
    print(yaml.safe_dump(dict(row.values), sort_keys=False, allow_unicode=True).rstrip())
    print(f"\nin {_whence(row)}\nat {row.weights}")
    print(f"to use it: PseudoCap.from_pretrained({row.name!r})")
    return 0


def _document(row: Row) -> dict[str, Any]:
    return {
        **row.values,
        "registry": row.registry,
        "shipped": row.shipped,
        "replaces_shipped": row.replaces_shipped,
        "address": row.weights,
    }


def _whence(row: Row) -> str:
    if row.shipped:
        return "the package"
    return f"{row.registry}{', in place of the shipped row' if row.replaces_shipped else ''}"


def _print_table(rows: dict[str, Row]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for heading in ("name", "regime", "scores", "license", "in"):
        table.add_column(heading, overflow="fold")
    for row in rows.values():
        cells = (row.name, row.values["regime"], _scores(row), row.values["license"], _whence(row))
        table.add_row(*(escape(str(cell)) for cell in cells))
    Console().print(table)


def _scores(row: Row) -> str:
    told = []
    for score in row.values["scores"]:
        metrics = ", ".join(f"{name} {_figure(value)}" for name, value in (score.get("metrics") or {}).items())
        told.append(f"{score.get('dataset', '?')} {score.get('split', '')}: {metrics}".replace(" :", ":"))
    return "\n".join(told)


def _figure(value: object) -> str:
    """A metric is a number, or a mapping with its value and interval."""
    if isinstance(value, dict):
        value = value.get("value")
    return f"{value:.1f}" if isinstance(value, int | float) else str(value)


# `add` may not import anything heavy; `run` may.
ACTIONS = {
    "list": Action(summary="the rows that have a name here", add=_add_list, run=_list),
    "show": Action(summary="all that is known of one row, and where it lies", add=_add_show, run=_show),
}
