"""List the weights that have a name here, describe and verify them, and build all that the package ships from nothing:
`pseudocap zoo list | show N | verify | build`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.actions import Subcommand, add_actions
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.cli.zoo_list import print_rows, whence
from pseudocap.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from pseudocap.hub.manifest import Row
    from pseudocap.stages import Stage, Workshop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(parser, ACTIONS)


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_checkpoints_option(parser)
    add_flag(parser, "--json", "print the rows as JSON")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="N", help="the row's name; with --gates also a directory or a repo")
    add_flag(parser, "--gates", "how far its adapters opened: a histogram for each gate")
    add_option(parser, "--out", Path, "FILE.png", "with --gates: draw the histograms as well")
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
    print_rows(rows)
    return 0


def _show(args: argparse.Namespace) -> int:
    if args.gates:
        from pseudocap.cli.gates import show_gates

        return show_gates(args.name, checkpoints=args.checkpoints, out=args.out, as_json=args.json)
    if args.out is not None:
        raise ConfigError(f"--out is the picture of --gates; write --gates --out {args.out}")
    import yaml

    from pseudocap.hub.manifest import all_rows, offer

    rows = all_rows(args.checkpoints)
    row = rows.get(args.name)
    if row is None:
        raise CheckpointError(f"no row is named {args.name!r}{offer(args.name, rows, args.checkpoints)}")
    if args.json:
        print(json.dumps(_document(row), indent=2))
        return 0
    print(yaml.safe_dump(dict(row.values), sort_keys=False, allow_unicode=True).rstrip())
    print(f"\nin {whence(row)}\nat {row.weights}")
    use = "pseudocap.load" if row.external else "pseudocap.PseudoCap.from_pretrained"
    use = "pseudocap.retriever.Retriever.from_pretrained" if row.retriever else use
    use = "pseudocap.valor.ValorModel.from_pretrained" if row.valor else use
    print(f"to use it: {use}({row.name!r})")
    return 0


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="N", help="rows; default: all")
    add_flag(parser, "--no-scores", "the weights' hashes alone")
    add_option(parser, "--data", Path, "DIR", "keep the toy films here (default: a temporary folder)")
    add_option(parser, "--tolerance", float, "X", "how far a score may be from the row's (0.5)")
    _add_list(parser)


def _verify(args: argparse.Namespace) -> int:
    import tempfile
    from dataclasses import asdict

    from pseudocap.cli.progress import progress_of
    from pseudocap.hub.manifest import all_rows, offer
    from pseudocap.zoo.verify import TOLERANCE, RowFinding, verify_row, write_test_world

    quieten()
    rows = all_rows(args.checkpoints)
    for name in args.names:
        if name not in rows:
            raise CheckpointError(f"no row is named {name!r}{offer(name, rows, args.checkpoints)}")
    chosen = [rows[name] for name in args.names or rows]
    tolerance = TOLERANCE if args.tolerance is None else args.tolerance
    findings: list[RowFinding] = []
    with tempfile.TemporaryDirectory() as scratch:
        world = (
            None
            if args.no_scores or not any(row.values["scores"] and not row.external for row in chosen)
            else args.data or Path(scratch)
        )
        if world is not None:
            with progress_of("drawing the films", "films") as progress:
                write_test_world(world, progress=progress)
        with progress_of("verifying", "rows") as progress:
            for row in chosen:
                findings.append(verify_row(row, world=world, tolerance=tolerance))
                progress(len(findings), len(chosen))
    if args.json:
        print(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        for each in findings:
            figures = ", ".join(f"{name} {value:.2f}" for name, value in each.scores.items())
            finding = "; ".join(each.problems) or each.skipped or "as it says"
            print(f"{each.name}: {finding}{f' ({figures})' if figures else ''}")
            if each.not_scored:
                print(f"  not scored: {each.not_scored}")
    return 1 if any(each.problems for each in findings) else 0


def _add_build(parser: argparse.ArgumentParser) -> None:
    add_option(parser, "--out", Path, "DIR", "the folder to work in; go on there")
    parser.add_argument(
        "--world", choices=("toy", "real"), default="toy", help="drawn films, or the real pictures and clips in --data"
    )
    add_option(parser, "--data", Path, "DIR", "the real data, as docs/zoo.md lists it")
    add_flag(parser, "--smoke", "all stages at a size that teaches nothing, in minutes")
    add_flag(parser, "--install", "put the result where this source tree ships it from")
    add_option(parser, "--workers", 2, "N", "processes that draw and decode")
    add_flag(parser, "--json", "print the report of every stage as JSON")


def _build(args: argparse.Namespace) -> int:
    if problems := list(_problems(args)):
        raise ConfigError("; ".join(problems))
    from pseudocap.cli.main import main
    from pseudocap.cli.progress import stages_of
    from pseudocap.stages import Workshop

    quieten()
    stages_in = _world(args)
    with stages_of("zoo") as drawn:
        shop = Workshop(root=args.out.resolve(), main=main, progress=drawn.draw, log=drawn.log)
        shop.run(stages_in(shop))
    reports = shop.reports
    if args.json:
        print(json.dumps(reports, indent=1))
    else:
        print("\n".join(reports["zoo"]["table"]))
        print(f"{reports['zoo']['bytes']:,} bytes in {args.out / 'zoo' / 'shipped'}")
    if args.install:
        from pseudocap.zoo.ship import install

        install(args.out.resolve() / "zoo")
    return 0


def _problems(args: argparse.Namespace) -> Iterator[str]:
    """Find all that a build lacks, before torch is imported and anything is made."""
    if args.smoke and args.install:
        yield "--smoke makes weights that have learned nothing; --install is for the full build"
    if args.out is None:
        yield "--out DIR is missing: the folder to work in"
    elif args.out.exists() and not args.out.is_dir():
        yield f"--out {args.out} is a file; name a folder"
    if args.world == "toy":
        if args.data is not None:
            yield "--data DIR is the data of --world real: give both or neither"
        return
    from pseudocap.zoo.packaged import LARGE, MODULE, WITHOUT_LARGE, WITHOUT_WEIGHTS

    if args.data is None:
        yield "--data DIR is the data of --world real (docs/zoo.md lists it): give both or neither"
    else:
        from pseudocap.zoo.real_data import RealData

        yield from RealData(args.data).problems()
    if not args.smoke and find_spec(MODULE) is None:
        yield WITHOUT_WEIGHTS
    if not args.smoke and not all(map(find_spec, LARGE)):
        yield WITHOUT_LARGE


def _world(args: argparse.Namespace) -> Callable[[Workshop], list[Stage]]:
    """Return what lists the stages of a world."""
    from pseudocap.zoo import build, real, recipe
    from pseudocap.zoo.real_data import RealData

    if args.world == "toy":
        toy = recipe.SMOKE_RECIPE if args.smoke else recipe.FULL_RECIPE
        return lambda shop: build.stages(shop, toy, args.workers)
    data = RealData(args.data.resolve())
    own = recipe.REAL_SMOKE_RECIPE if args.smoke else recipe.REAL_RECIPE
    return lambda shop: real.stages(shop, own, data, args.workers)


def _document(row: Row) -> dict[str, Any]:
    return {
        **row.values,
        "registry": row.registry,
        "shipped": row.shipped,
        "replaces_shipped": row.replaces_shipped,
        "address": row.weights,
    }


ACTIONS = {
    "list": Subcommand(
        summary="the rows that have a name here", example="pseudocap zoo list --json", add=_add_list, run=_list
    ),
    "show": Subcommand(
        summary="all that is known of one row, and where it lies",
        example="pseudocap zoo show toy-mixed-ext",
        add=_add_show,
        run=_show,
    ),
    "verify": Subcommand(
        summary="recompute the rows' hashes and scores",
        example="pseudocap zoo verify toy-mixed-ext",
        add=_add_verify,
        run=_verify,
    ),
    "build": Subcommand(
        summary="make all that the package ships, from nothing",
        example="pseudocap zoo build --out build/zoo    (the same command goes on where it stopped)",
        add=_add_build,
        run=_build,
    ),
}
