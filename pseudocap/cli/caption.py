"""`pseudocap caption FILE...`: what a captioner says of videos and images, whole or clip by clip."""

from __future__ import annotations

import argparse
import glob
import json
import math
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.asked import Asked
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import add_checkpoints_option, find_captioner
from pseudocap.errors import ConfigError, DataError, DecodeError, InputError, first_line
from pseudocap.types import CLIP_SECONDS, IMAGE_EXTENSIONS, MIN_SECONDS, PRECISIONS, VIDEO_EXTENSIONS
from pseudocap.whole import unfinished, write_text

if TYPE_CHECKING:
    from pseudocap.captioner import PseudoCap
    from pseudocap.captioning import FileCaptions
    from pseudocap.hub.fetch import Fetched

FORMATS = ("text", "json", "srt", "vtt", "parquet")
SUFFIX = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}
TABLE = "parquet"  # all captions in one file
DEFAULT = "toy-mixed-ext"

EPILOG = """FILE is a video, an image, a folder (with all below it), a pattern in quotes ('films/*.mp4'), or an address
that fsspec knows (s3://bucket/film.mp4).

Without --out the captions are printed; with it each file's captions are a file of that folder. Files that cannot be
read are listed at the end, and the exit code is then 1; the others are captioned all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to caption; see below")
    parser.add_argument("--checkpoint", default=DEFAULT, metavar="N", help=f"a row, a directory or a repo ({DEFAULT})")
    add_checkpoints_option(parser)
    parser.add_argument(
        "--dense", action="store_true", help="a caption for every clip of a video; srt and vtt imply it"
    )
    parser.add_argument("--clip-seconds", type=float, metavar="S", help="length of a clip (8)")
    parser.add_argument("--min-seconds", type=float, metavar="S", help="leave out a shorter rest (1)")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="json is one line a file; parquet a table of all (text)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write a file for each instead of printing; also FILE.srt of one video, FILE.jsonl or FILE.parquet of all",
    )
    parser.add_argument("--preview", type=Path, metavar="DIR", help="also small films with the captions written below")
    parser.add_argument("--beams", type=int, default=1, metavar="N", help="beam search (1: greedy)")
    parser.add_argument("--top-p", type=float, metavar="P", help="sample from the likeliest words instead")
    parser.add_argument("--seed", type=int, metavar="N", help="of sampling")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="of a caption (32)")
    parser.add_argument("--num-frames", type=int, metavar="T", help="frames of a clip; default: the checkpoint's own")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once (8)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the frozen weights: fewer bits are faster on a CPU and change some captions (float32)",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{EPILOG}\n\n{parser.epilog}" if parser.epilog else EPILOG


def run(args: argparse.Namespace) -> int:
    dense = args.dense or args.format in ("srt", "vtt")
    lengths = _lengths(args, dense)
    asked = Asked(
        beams=args.beams,
        top_p=args.top_p,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
        num_frames=args.num_frames,
        batch_size=args.batch_size,
    )
    with _files(args.files) as files:
        captioner = find_captioner(args.checkpoint, args.checkpoints)
        targets = _targets(files, args)
        previews = _in_folder(files, args.preview, ".preview.mp4", "--preview") if args.preview else None
        from pseudocap.cli.progress import progress_of

        done = _Done()
        with progress_of("captioning", "files") as progress:
            # Here, after everything that can be told without torch, which takes seconds to be imported.
            from pseudocap.captioning import caption_densely, caption_files

            model = _model(args, captioner)
            paths = [path for _, path in files]
            said = caption_densely(model, paths, asked, **lengths) if dense else caption_files(model, paths, asked)
            for number, ((name, path), found) in enumerate(zip(files, said, strict=True)):
                if found.error:
                    done.failures.append(found.error.replace(found.file, name))
                if args.format == TABLE:
                    done.rows += _rows(name, found)
                elif _gathers_lines(args):
                    done.lines.append(_formatted(name, found, args.format, dense))
                else:
                    done.written += _deliver(name, found, args.format, dense, targets[number], alone=len(files) == 1)
                if previews is not None and found.captions and found.captions[-1].end > 0:
                    problem = _preview(name, path, previews[number], found)
                    done.filmed += not problem
                    done.failures += problem
                progress(number + 1, len(files))
        if args.format == TABLE:
            _write_table(done.rows, args.out)
        elif _gathers_lines(args):
            write_text(args.out, "".join(done.lines))
    for failure in done.failures:
        print(f"failed: {failure}", file=sys.stderr)
    if places := _places(args, done):
        print(f"written: {'; '.join(places)}", file=sys.stderr)
    return 1 if done.failures else 0


def _model(args: argparse.Namespace, captioner: Fetched) -> PseudoCap:
    from pseudocap.captioner import PseudoCap
    from pseudocap.places import shipped_names

    quieten()
    if args.checkpoint in shipped_names():
        told = "has seen drawn films alone: what it says of real video means nothing"
        print(f"{args.checkpoint} {told}", file=sys.stderr)
    with warnings.catch_warnings(record=True) as doubts:
        model = PseudoCap.from_pretrained(captioner, device=args.device, precision=args.precision)
    for doubt in doubts:
        print(f"warning: {doubt.message}", file=sys.stderr)
    return model


@dataclass(kw_only=True, slots=True)
class _Done:
    """What came of the files: what went wrong, what is for one file of all, how many files were written."""

    failures: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    written: int = 0
    filmed: int = 0


def _places(args: argparse.Namespace, done: _Done) -> list[str]:
    """What was written where, for people: a file for each might be many."""
    places = []
    if args.format == TABLE:
        places.append(f"{_counted(len(done.rows), 'caption')} in {args.out}")
    elif done.lines:
        places.append(f"captions of {_counted(len(done.lines), 'file')} in {args.out}")
    elif done.written:
        places.append(f"captions of {_counted(done.written, 'file')} in {args.out}")
    if done.filmed:
        places.append(f"previews of {_counted(done.filmed, 'file')} in {args.preview}")
    return places


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _rows(name: str, found: FileCaptions) -> list[dict[str, Any]]:
    return [{"video": name, "start": each.start, "end": each.end, "caption": each.text} for each in found.captions]


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


def _deliver(name: str, found: FileCaptions, form: str, dense: bool, target: Path | None, *, alone: bool) -> bool:
    """Whether a file was written."""
    if not found.captions and form != "json":
        return False
    text = _formatted(name, found, form, dense)
    if target is not None:
        with unfinished(target) as scratch:
            scratch.write_text(text, encoding="utf-8")
        return True
    if form == "text" and not alone:
        text = "".join(f"{name}: {line}\n" for line in text.splitlines())
    print(text, end="", flush=True)
    return False


def _preview(name: str, path: Path, target: Path, found: FileCaptions) -> list[str]:
    """What went wrong, if anything."""
    from pseudocap.video.burn import burn

    try:
        burn(path, target, found.captions)
    except DecodeError as failure:
        return [str(failure).replace(str(path), name)]
    return []


def _write_table(rows: list[dict[str, Any]], target: Path) -> None:
    """What `datasets.load_dataset("parquet", data_files=...)` reads: a row for each caption."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = [("video", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("caption", pa.string())]
    with unfinished(target) as scratch:
        parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), scratch)


def _formatted(name: str, found: FileCaptions, form: str, dense: bool) -> str:
    from pseudocap.video.subtitles import clock, to_srt, to_vtt

    if form == "srt":
        return to_srt(found.captions)
    if form == "vtt":
        return to_vtt(found.captions)
    if form == "json":
        captions = [{"start": each.start, "end": each.end, "text": each.text} for each in found.captions]
        document = {"file": name, "captions": captions} | ({"error": found.error} if found.error else {})
        return json.dumps(document, ensure_ascii=False) + "\n"
    if dense:
        return "".join(f"{clock(each.start)} - {clock(each.end)}  {each.text}\n" for each in found.captions)
    return "".join(f"{each.text}\n" for each in found.captions)


def _targets(files: Sequence[tuple[str, Path]], args: argparse.Namespace) -> Sequence[Path | None]:
    """Where each file's captions go; None is standard output."""
    if args.format == TABLE:
        if args.out is None or args.out.suffix != ".parquet" or args.out.is_dir():
            raise ConfigError("--format parquet writes one table: name it with --out captions.parquet")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        return []
    if _gathers_lines(args):
        args.out.parent.mkdir(parents=True, exist_ok=True)
        return []
    if args.out is not None and args.out.suffix in SUFFIX.values() and not args.out.is_dir():
        return [_one_file(files, args)]
    if args.out is not None:
        return _in_folder(files, args.out, SUFFIX[args.format], "--out")
    if args.format in ("srt", "vtt") and len(files) > 1:
        raise ConfigError(f"--format {args.format} of several files needs --out DIR: one file for each")
    return [None] * len(files)


def _gathers_lines(args: argparse.Namespace) -> bool:
    """JSON lines of all files in one."""
    return args.format == "json" and args.out is not None and args.out.suffix == ".jsonl" and not args.out.is_dir()


def _one_file(files: Sequence[tuple[str, Path]], args: argparse.Namespace) -> Path:
    if args.out.suffix != SUFFIX[args.format]:
        raise ConfigError(f"--out {args.out} is not named as --format {args.format} is: {SUFFIX[args.format]}")
    if len(files) > 1:
        raise ConfigError(f"--out {args.out} is one file, and {len(files)} are captioned; name a folder")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    out: Path = args.out
    return out


def _in_folder(files: Sequence[tuple[str, Path]], folder: Path, suffix: str, option: str) -> list[Path]:
    """A file for each. Nothing is overwritten by another's."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{option} {folder} is a file; name a folder")
    taken: dict[str, str] = {}
    for name, _ in files:
        target = Path(name).stem + suffix
        if target in taken:
            raise ConfigError(
                f"{taken[target]} and {name} would both be written to {folder / target}; caption them apart"
            )
        taken[target] = name
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / target for target in taken]


@contextmanager
def _files(given: Sequence[str]) -> Iterator[list[tuple[str, Path]]]:
    """(how it is called, where it lies) of every file; what lies elsewhere is fetched and removed afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        found: list[tuple[str, Path]] = []
        for number, word in enumerate(given):
            if "://" in word:
                found += _fetched(word, Path(scratch) / str(number))
            else:
                found += [(str(path), path) for path in _local(word)]
        yield list(dict.fromkeys(found))


def _local(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        media = (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS)
        below = sorted(each for each in path.rglob("*") if each.suffix.lower() in media and each.is_file())
        if not below:
            raise InputError(f"{word}: the folder holds no video and no image")
        return below
    if path.is_file():
        return [path]
    matches = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - any root
    files = [each for each in matches if each.is_file()]
    if not files:
        raise InputError(f"{word}: there is no such file, folder or pattern")
    return files


def _fetched(url: str, folder: Path) -> list[tuple[str, Path]]:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
        remote = sorted(fs.glob(path)) if glob.has_magic(path) else [path]
        if not remote:
            raise DataError(f"{url}: nothing there has such a name")
        folder.mkdir()
        fetched = []
        for number, each in enumerate(remote):
            target = folder / f"{number}{Path(each).suffix}"
            fs.get_file(each, str(target))
            fetched.append((fs.unstrip_protocol(each), target))
        return fetched
    except DataError:
        raise
    except Exception as error:  # every filesystem has its own way of refusing; S3's without credentials is no OSError
        raise DataError(f"{url} cannot be fetched: {first_line(error)}") from error
