"""Index videos, so that they are searched by text: `pseudocap index VIDEOS --out INDEX`."""

from __future__ import annotations

import argparse
import glob
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.checks import refuse_file, require_at_least, require_clip_lengths
from pseudocap.cli.media_files import media_files
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_RETRIEVER, add_checkpoints_option
from pseudocap.cli.shots import add_shot_options, read_cuts
from pseudocap.errors import DataError, Interrupted
from pseudocap.files.remote import any_path, listed
from pseudocap.hub.checkpoint import absolute
from pseudocap.types import CLIP_SECONDS, IMAGE_EXTENSIONS, MIN_SECONDS, VIDEO_EXTENSIONS, TimedCaption

if TYPE_CHECKING:
    from pseudocap.search.build import IndexReport
    from pseudocap.search.manifest import IndexManifest

EPILOG = """VIDEOS is a video, an image, a folder (with all below it), a pattern in quotes ('films/*.mp4'), or an
address that fsspec knows (s3://bucket/films).

The same command again does only what is new, changed or gone, also after it was killed; clips, retriever and captions
are then those of the index, unless others are given. Files that cannot be read are listed at the end, and the exit code
is then 1; the others are indexed all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", nargs="+", metavar="VIDEOS", help="what to index; see below")
    add_option(parser, "--retriever", str, "R", f"embeds clips and texts ({DEFAULT_RETRIEVER}, or the index's own)")
    add_checkpoints_option(parser)
    add_option(parser, "--out", str, "INDEX", "the folder to write, or an address (s3://...)", required=True)
    add_option(parser, "--captions", Path, "LABELS", "what is searched by words too: labels, or caption rows")
    add_option(parser, "--clip-seconds", float, "S", f"length of a clip ({CLIP_SECONDS:g})")
    add_option(parser, "--min-seconds", float, "S", f"leave out a shorter rest ({MIN_SECONDS:g})")
    add_shot_options(parser)
    parser.set_defaults(clips=None)  # as the index has them
    add_option(parser, "--num-frames", int, "T", "frames of a clip; default: the retriever's own")
    add_option(parser, "--batch-size", 16, "N", "clips at once")
    add_option(parser, "--workers", 2, "N", "processes that decode; 0: threads, which a broken file can crash")
    add_flag(parser, "--retry-failed", "try files again that failed before")
    add_flag(parser, "--approximate", "search through an IVF-PQ index; from a million clips on in any case")
    add_option(parser, "--device", "auto", None, "where the retriever runs")
    add_flag(parser, "--json", "print the report as JSON")


def run(args: argparse.Namespace) -> int:
    require_at_least(args, batch_size=1, workers=0, num_frames=1)
    if "://" not in args.out:
        refuse_file("--out", Path(args.out))
    from pseudocap.search.manifest import read_manifest, require_settings
    from pseudocap.search.table import require_lancedb

    require_lancedb()
    home = any_path(args.out)
    before = read_manifest(home)
    clips, cuts = _clips(args, before), read_cuts(args, before.cuts if before else None)
    if before is not None:
        given = {**clips, "cuts": dict(cuts.settings) if cuts else {}, "frames": args.num_frames or before.frames}
        require_settings(home, before, given)
    name = _retriever_name(args, before)
    files, below = find_files(args.videos)

    from pseudocap.hub.retrievers import find_retriever

    found = find_retriever(name, checkpoints=args.checkpoints)
    captions = None if args.captions is None else read_captions(args.captions)

    # Here, after every check that needs no torch, which takes seconds to be imported.
    from pseudocap.cli.progress import progress_of
    from pseudocap.external_retrieval import load_retriever
    from pseudocap.search.build import build_index

    quieten()
    retriever = load_retriever(found, checkpoints=args.checkpoints, device=args.device)
    with _going_on(args.out), progress_of("indexing", "files") as progress:
        report = build_index(
            args.out, files, retriever, name=name, below=below, captions=captions, **clips, cuts=cuts,
            num_frames=before.frames if before else args.num_frames, workers=args.workers, batch_size=args.batch_size,
            retry_failed=args.retry_failed, approximate=args.approximate, progress=progress,
        )  # fmt: skip
    return _report(args, report)


def _clips(args: argparse.Namespace, before: IndexManifest | None) -> dict[str, float]:
    """Return the lengths of clips: those that are given, else the index's own, else the usual ones."""
    usual = {"clip_seconds": CLIP_SECONDS, "min_seconds": MIN_SECONDS}
    given = {name: getattr(args, name) for name in usual}
    lengths = {
        name: given[name] if given[name] is not None else value if before is None else getattr(before, name)
        for name, value in usual.items()
    }
    if given["min_seconds"] is None:
        lengths["min_seconds"] = min(lengths.values())
    require_clip_lengths(**lengths)
    return lengths


def _retriever_name(args: argparse.Namespace, before: IndexManifest | None) -> str:
    """Return the name that an index keeps: of folders the full paths."""
    name: str = args.retriever or (before.retriever if before else DEFAULT_RETRIEVER)
    parts = [name] if Path(name).expanduser().exists() else name.split("+")  # CAPTIONER+SENTENCE_ENCODER
    return "+".join(map(absolute, parts))


def find_files(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files that words name, by absolute path or address, and the folders below which they were looked for:
    what an index has of these and is not there any more is gone."""
    files: dict[str, None] = {}
    below = []
    for word in words:
        if "://" in word:
            found, folder = _remote_files(word), word
        else:
            found = [str(path.resolve()) for path in media_files(word)]
            parts = Path(word).expanduser().parts
            plain = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
            folder = str((Path(word) if Path(word).exists() else Path(*parts[:plain])).expanduser().resolve())
        files.update(dict.fromkeys(found))
        below.append(folder)
    return list(files), below


def _remote_files(url: str) -> list[str]:
    files = listed(url, (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS))
    if not files:
        raise DataError(f"{url} holds no video and no image")
    return files


def read_captions(path: Path) -> dict[str, list[TimedCaption]]:
    """Read the captions of files out of labels or caption rows: those that no filter objects to."""
    if not path.exists():
        raise DataError(f"--captions {path}: there is no such file or folder; name labels or captions")
    from pseudocap.browse.rows import read_browse_rows

    captions: dict[str, list[TimedCaption]] = {}
    for row in read_browse_rows(path):
        if row.caption and not row.verdicts and not row.error:
            file = row.path if "://" in row.path else str(Path(row.path).resolve())
            start, end = (0.0, math.inf) if row.start is None or row.end is None else (row.start, row.end)
            captions.setdefault(file, []).append(TimedCaption(start=start, end=end, text=row.caption))
    return captions


@contextmanager
def _going_on(out: str) -> Iterator[None]:
    """Print for who interrupts a run that what was indexed is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; the same command goes on, with what {out} does not hold yet") from None


def _report(args: argparse.Namespace, report: IndexReport) -> int:
    if args.json:
        print(json.dumps({"out": args.out, **asdict(report)}))
        return 1 if report.failed else 0
    counts = {name: len(getattr(report, name)) for name in ("new", "changed", "moved", "gone")}
    counts |= {"recaptioned": report.recaptioned, "unchanged": report.unchanged}
    did = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to do"
    print(f"{args.out}: {did}; {report.clips:,} clips of {report.files:,} files, in {report.seconds:.1f} s")
    for reason in report.failed.values():
        print(f"failed: {reason}".encode(errors="backslashreplace").decode())  # a file's name may be no UTF-8
    return 1 if report.failed else 0
