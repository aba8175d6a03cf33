"""`pseudocap caption FILE...`: captions of videos and images, whole or clip by clip."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.decoding import add_decoding_options, read_decoding
from pseudocap.cli.delivery import FORMATS, counted, in_folder, plan_delivery
from pseudocap.cli.media_files import media_files
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_CAPTIONER, add_checkpoints_option, find_any_captioner
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError, DataError, DecodeError, first_line
from pseudocap.files.remote import RemotePath
from pseudocap.types import CLIP_SECONDS, EXTERNAL_FRAMES, MIN_SECONDS, PRECISIONS

if TYPE_CHECKING:
    from pseudocap.caption_files import FileCaptions
    from pseudocap.captioner import FileCaptioner
    from pseudocap.hub.external import External
    from pseudocap.hub.fetch import Fetched

EPILOG = """FILE is a video, an image, a folder (with all below it), a pattern in quotes ('films/*.mp4'), or an address
that fsspec knows (s3://bucket/film.mp4).

Without --out the captions are printed; with it they are a file of that folder for each FILE, or one file where the name
says so: x.srt, x.vtt, x.txt or x.json of one FILE, x.jsonl or x.parquet of all. Files that cannot be read are listed at
the end, and the exit code is then 1; the others are captioned all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to caption; see below")
    parser.add_argument(
        "--checkpoint",
        default=DEFAULT_CAPTIONER,
        metavar="N",
        help=f"a row, a directory or a repo; also of any image-text model of transformers ({DEFAULT_CAPTIONER})",
    )
    add_checkpoints_option(parser)
    add_flag(parser, "--dense", "a caption for every clip of a video; srt and vtt imply it")
    add_option(parser, "--clip-seconds", float, "S", "length of a clip (8)")
    add_option(parser, "--min-seconds", float, "S", "leave out a shorter rest (1)")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="json is one line a file; parquet a table of all (text)"
    )
    add_option(
        parser,
        "--out",
        Path,
        "DIR",
        "write a file for each instead of printing; also FILE.srt of one video, FILE.jsonl or FILE.parquet of all",
    )
    add_option(parser, "--preview", Path, "DIR", "also small films with the captions written below")
    add_decoding_options(parser, FileDecoding(), "beams top_p seed max_new_tokens num_frames batch_size prompt")
    parser.add_argument(
        "--frames",
        choices=EXTERNAL_FRAMES,
        help="what an image-text model sees of a clip: its centre frame, several that vote, or several as a video "
        "(video where the model takes one, else centre)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the frozen weights: fewer bits are faster on a CPU and change some captions (float32)",
    )


def run(args: argparse.Namespace) -> int:
    dense = args.dense or args.format in ("srt", "vtt")
    lengths = _lengths(args, dense)
    decoding = read_decoding(args, FileDecoding)
    failures: list[str] = []
    with _files(args.files) as files:
        captioner = find_any_captioner(args.checkpoint, args.checkpoints, frames=args.frames)
        delivery = plan_delivery(files, form=args.format, dense=dense, out=args.out)
        previews = in_folder(files, args.preview, ".preview.mp4", "--preview") if args.preview else None
        filmed = 0
        from pseudocap.cli.progress import progress_of

        with progress_of("captioning", "files") as progress, delivery.kept():
            # Here, after everything that can be checked without torch, which takes seconds to be imported.
            from pseudocap.caption_files import caption_densely, caption_files

            model = _model(args, captioner)
            paths = [path for _, path in files]
            captioned = (
                caption_densely(model, paths, decoding, **lengths) if dense else caption_files(model, paths, decoding)
            )
            for number, ((name, path), found) in enumerate(zip(files, captioned, strict=True)):
                if found.error:
                    failures.append(found.error.replace(found.file, name))
                delivery.take(number, name, found)
                if previews is not None and found.captions and found.captions[-1].end > 0:
                    problem = _preview(name, path, previews[number], found)
                    filmed += not problem
                    failures += problem
                progress(number + 1, len(files))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    previewed = f"previews of {counted(filmed, 'file')} in {args.preview}" if filmed else ""
    if written := [each for each in (delivery.summary(), previewed) if each]:
        print(f"written: {'; '.join(written)}", file=sys.stderr)
    return 1 if failures else 0


def _model(args: argparse.Namespace, captioner: Fetched | External) -> FileCaptioner[Any]:
    from pseudocap.external import load

    quieten()
    with warnings.catch_warnings(record=True) as doubts:
        model = load(captioner, frames=args.frames, device=args.device, precision=args.precision)
    for doubt in doubts:
        print(f"warning: {doubt.message}", file=sys.stderr)
    if model.toy_notice:
        print(f"warning: {model.toy_notice}", file=sys.stderr)
    return model


def _lengths(args: argparse.Namespace, dense: bool) -> dict[str, float]:
    """Those of clips that were given, checked."""
    names = ("clip_seconds", "min_seconds")
    lengths = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    longest = lengths.get("clip_seconds", CLIP_SECONDS)
    if not 0 < longest < math.inf:
        raise ConfigError(f"--clip-seconds must be above 0, not {longest:g}")
    if not 0 <= lengths.get("min_seconds", 0) <= longest:
        raise ConfigError(f"--min-seconds must be from 0 to the {longest:g} s of a clip, not {args.min_seconds:g}")
    if lengths and not dense:
        raise ConfigError(f"--{next(iter(lengths)).replace('_', '-')} is of clips: add --dense, or leave it out")
    if longest < MIN_SECONDS:
        lengths.setdefault("min_seconds", longest)  # or no clip were long enough
    return lengths


def _preview(name: str, path: Path, target: Path, found: FileCaptions) -> list[str]:
    """What went wrong, if anything."""
    from pseudocap.video.burn import burn

    try:
        burn(path, target, found.captions)
    except DecodeError as failure:
        return [str(failure).replace(str(path), name)]
    return []


@contextmanager
def _files(given: Sequence[str]) -> Iterator[list[tuple[str, Path]]]:
    """(how it is called, where it lies) of every file; what lies elsewhere is fetched and removed afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        found: list[tuple[str, Path]] = []
        for number, word in enumerate(given):
            if "://" in word:
                found += _fetched(word, Path(scratch) / str(number))
            else:
                found += [(str(path), path) for path in media_files(word)]
        yield list(dict.fromkeys(found))


def _fetched(url: str, folder: Path) -> list[tuple[str, Path]]:
    try:
        remote = RemotePath(url).matching()
        if not remote:
            raise DataError(f"{url}: nothing there has such a name")
        folder.mkdir()
        fetched = [(each.url, folder / f"{number}{Path(each.name).suffix}") for number, each in enumerate(remote)]
        for each, (_, target) in zip(remote, fetched, strict=True):
            each.fetch(target)
        return fetched
    except OSError as error:
        raise DataError(f"{url} cannot be fetched: {first_line(error)}") from error
