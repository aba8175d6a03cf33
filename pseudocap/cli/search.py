"""Search an index of videos by text, or by what looks alike: `pseudocap search "a dog runs" --index INDEX`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option
from pseudocap.errors import ConfigError
from pseudocap.search.query import TOP, SearchQuery

if TYPE_CHECKING:
    from pseudocap.search.index import SearchHit, VideoIndex

FORMATS = ("table", "json", "html")

EPILOG = """--like FILE@12.5 looks for what looks like the clip at 12.5 s of FILE; for a file of the index, neither the
retriever is loaded nor the file decoded. An html page plays each hit at its second, out of the files as they lie on
this machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="what to look for")
    add_option(parser, "--index", str, "INDEX", "the --out of a `pseudocap index`, or its address", required=True)
    add_option(parser, "--like", str, "FILE[@S]", "in place of a text: a video or an image, or a second of a video")
    add_option(parser, "--top", TOP, "N", "hits")
    add_option(parser, "--file", str, "PATTERN", "only files that match: of a path or of its end, '*.mp4', 'films/*'")
    add_option(parser, "--after", float, "S", "only clips that reach beyond this second of their file")
    add_option(parser, "--before", float, "S", "only clips that begin before this second")
    add_option(parser, "--caption", str, "TEXT", "only clips whose caption has it")
    add_flag(parser, "--hybrid", "rank by the words of captions too, and fuse both")
    parser.add_argument(
        "--format", choices=FORMATS, help="html is a page with a player (what --out is named as, or table)"
    )
    add_option(parser, "--out", Path, "FILE", "write the hits there instead of printing them")
    add_option(parser, "--retriever", str, "R", "the retriever of the index by another name: its folder has moved")
    add_checkpoints_option(parser)
    add_option(parser, "--device", "auto", None, "where the retriever runs")


def run(args: argparse.Namespace) -> int:
    form = _form(args)
    query = _query(args)
    open_checked(args.index, args.retriever, args.checkpoints, by_text=bool(query.text))
    from pseudocap.search import VideoIndex

    index = VideoIndex.open(args.index, retriever=args.retriever, device=args.device, checkpoints=args.checkpoints)
    if query.text:
        quieten()
    hits = index.find(query)
    wanted = query.text or f"like {args.like}"
    if args.out is not None:
        from pseudocap.files.atomic import write_text

        write_text(args.out, _text(form, wanted, hits, args.index))
        print(f"{len(hits):,} hits in {args.out}", file=sys.stderr)
    elif form == "table":
        _print_hits(hits)
    else:
        print(_text(form, wanted, hits, args.index), end="")
    return 0


def open_checked(index: str, retriever: str | None, checkpoints: str | None, *, by_text: bool) -> None:
    """Refuse an index that cannot be searched, and a retriever that is nowhere, before torch is imported."""
    from pseudocap.files.remote import any_path
    from pseudocap.hub.retrievers import find_retriever
    from pseudocap.search.manifest import require_manifest
    from pseudocap.search.table import require_lancedb

    require_lancedb()
    manifest = require_manifest(any_path(index))
    if by_text:
        manifest.require_text(index)
        find_retriever(retriever or manifest.retriever, checkpoints=checkpoints)


def open_index(args: argparse.Namespace) -> VideoIndex:
    """Open the --index of a verb that stays, with its retriever: what is wrong with either is reported at the start."""
    from pseudocap.search import VideoIndex

    index = VideoIndex.open(args.index, device=args.device, checkpoints=args.checkpoints)
    assert index.retriever.dim == index.manifest.dim, "they have one identity"
    return index


def _form(args: argparse.Namespace) -> str:
    named = {".json": "json", ".html": "html", ".htm": "html"}.get(args.out.suffix.lower() if args.out else "")
    form = args.format or named or "table"
    if args.out is not None and form == "table":
        raise ConfigError(f"--out {args.out} must end in .html or .json; a table is for the terminal")
    return str(form)


def _query(args: argparse.Namespace) -> SearchQuery:
    like, at = args.like or "", None
    if like and not Path(like).exists():
        file, mark, second = like.rpartition("@")
        with suppress(ValueError):
            like, at = (file, float(second)) if mark else (like, None)
    names = ("text", "top", "after", "before", "hybrid")
    given = {name: getattr(args, name) for name in names}
    return SearchQuery(like=like, at=at, file=args.file or "", caption=args.caption or "", **given)


def _text(form: str, wanted: str, hits: Sequence[SearchHit], index: str) -> str:
    if form == "json":
        found = [{**asdict(hit), "score": round(hit.score, 4)} for hit in hits]
        return json.dumps({"query": wanted, "index": index, "hits": found}, indent=1, ensure_ascii=False) + "\n"
    from pseudocap.search.page import hits_page

    return hits_page(wanted, hits, about=index)


def _print_hits(hits: Sequence[SearchHit]) -> None:
    from pseudocap.cli.tables import print_table

    noted = any(hit.note for hit in hits)
    heads = ("file", "from", "to", "score", "caption", *(("note",) if noted else ()))
    rows = [
        (near(hit.file), *hit.times, f"{hit.score:.3f}", hit.caption, *((hit.note,) if noted else ())) for hit in hits
    ]
    print_table("", heads, rows, left=("file", "caption", "note"), box=None)


def near(file: str) -> str:
    """Return a path from here where the file lies below."""
    here = Path.cwd()
    return str(Path(file).relative_to(here)) if "://" not in file and Path(file).is_relative_to(here) else file
