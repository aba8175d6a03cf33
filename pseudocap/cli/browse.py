"""Look through labels or captions on a page: `pseudocap browse LABELS`; `--export` writes what came of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.checks import refuse_file
from pseudocap.cli.local_page import login_name, serve_page
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import counted, progress_of
from pseudocap.errors import ConfigError, DataError
from pseudocap.files.atomic import try_to_write, write_text

if TYPE_CHECKING:
    from pseudocap.browse.store import BrowseStore

EDITS = "edits.jsonl"

EPILOG = """LABELS is the --out of a `pseudocap label`, or captions: .jsonl as `pseudocap caption` writes them, .json,
.csv, a folder of videos with .txt files.

Changes are appended to LABELS/edits.jsonl (captions.edits.jsonl beside captions.jsonl; DIR/edits.jsonl with --out DIR)
and are there again the next time; LABELS stays as it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, metavar="LABELS", help="labels or captions; see below")
    add_option(parser, "--videos", Path, "DIR", "where the videos lie, if not where they were or beside the captions")
    add_option(parser, "--out", Path, "DIR", "the folder of edits.jsonl (default: beside LABELS)")
    add_option(parser, "--editor", str, "NAME", "who edits, unless the page names another (default: your login)")
    add_option(parser, "--port", 8766, None, "of the page, on this machine only; 0: any free")
    add_option(
        parser,
        "--export",
        Path,
        "PATH",
        "do not serve; write the rows with their changes: a .jsonl of captions, or of labels a folder of labels",
    )
    add_flag(parser, "--accepted", "with --export: only what was accepted")


def run(args: argparse.Namespace) -> int:
    if not args.labels.exists():
        raise DataError(f"{args.labels}: there is no such file or folder; name labels or captions")
    if args.accepted and not args.export:
        raise ConfigError("--accepted is about what is written: give --export with it")
    edits = _edits(args)
    if args.export:
        _refuse_export(args)
    else:
        try_to_write(edits)
    from pseudocap.browse.store import BrowseStore

    # A request that is under way when the server ends may open the file once more while its folder is removed.
    with tempfile.TemporaryDirectory(prefix="pseudocap-", ignore_cleanup_errors=True) as scratch:
        store = BrowseStore(Path(scratch) / "rows.sqlite", edits)
        return _export(args, store) if args.export else _serve(args, store)


def _edits(args: argparse.Namespace) -> Path:
    """Return the file of the changes."""
    labels: Path = args.labels
    if args.out:
        refuse_file("--out", args.out)
        return Path(args.out) / EDITS
    return labels / EDITS if labels.is_dir() else labels.with_suffix(f".{EDITS}")


def _refuse_export(args: argparse.Namespace) -> None:
    from pseudocap.label.schema import holds_labels

    if args.export.suffix == ".jsonl":
        if args.export.resolve() == args.labels.resolve():
            raise ConfigError(f"--export {args.export} are the captions themselves; name another file")
        return try_to_write(args.export)
    if not holds_labels(args.labels):
        raise ConfigError(f"--export {args.export} must end in .jsonl: {args.labels} are captions, and no labels")
    if not args.labels.is_dir():
        raise ConfigError(f"{args.labels} is one file of labels; name the whole folder to export labels")
    from pseudocap.label.rewrite import Earlier

    Earlier.of(args.labels)  # a finished run
    return try_to_write(args.export / "plan.json")


def _fill(args: argparse.Namespace, store: BrowseStore) -> None:
    from pseudocap.browse.rows import read_browse_rows

    store.fill(counted(read_browse_rows(args.labels, videos=args.videos), "reading rows"))
    if store.unknown:
        which = f"{store.unknown:,} of its changes are of rows that {args.labels} does not have"
        print(f"{store.journal.path}: {which}", file=sys.stderr)


def _serve(args: argparse.Namespace, store: BrowseStore) -> int:
    from pseudocap.browse.server import BrowseServer

    # Before the rows are read, so that a port that is taken is reported at once; who opens the page by then waits.
    with BrowseServer(store, editor=args.editor or login_name("editor"), port=args.port) as server:
        _fill(args, store)
        where = store.journal.path
        return serve_page(server, _rows(store), lambda: f"{store.changes():,} rows are changed, in {where}")


def _rows(store: BrowseStore) -> str:
    """Count the rows in words; a file that could not be read is none."""
    failed = store.failed_files()
    rows = store.count() - failed
    plural = "" if failed == 1 else "s"
    return f"{rows:,} rows" + (f" and {failed:,} file{plural} that failed" if failed else "")


def _export(args: argparse.Namespace, store: BrowseStore) -> int:
    from pseudocap.browse.export import caption_lines, export_labels

    _fill(args, store)
    if args.export.suffix == ".jsonl":
        lines = list(caption_lines(store, accepted=args.accepted))
        write_text(args.export, "".join(lines))
        print(f"{len(lines):,} captions of {_rows(store)} in {args.export}")
        return 0
    with progress_of("exporting", "shards") as progress:
        stats = export_labels(args.labels, args.export, store, accepted=args.accepted, progress=progress)
    print(f"{stats['kept']:,} of {stats['clips']:,} labels are kept, in {args.export}")
    return 0
