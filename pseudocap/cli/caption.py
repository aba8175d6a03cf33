"""Caption videos and images, entire or clip by clip: `pseudocap caption FILE...`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.caption_records import hash_run
from pseudocap.cli.checks import require_clip_lengths
from pseudocap.cli.decoding import add_decoding_options, read_decoding
from pseudocap.cli.delivery import FORMATS, CaptionDelivery, counted, form_of, in_folder, plan_delivery
from pseudocap.cli.media_files import media_files
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_CAPTIONER, add_checkpoints_option, find_any_captioner, fingerprint
from pseudocap.cli.shots import add_shot_options, read_cuts
from pseudocap.decoding import FileDecoding
from pseudocap.errors import ConfigError, DataError, DecodeError, Interrupted, first_line
from pseudocap.files.remote import RemotePath
from pseudocap.hub.checkpoint import read_any_config
from pseudocap.memory import GROUPS
from pseudocap.types import CLIP_SECONDS, EXTERNAL_FRAMES, IMAGE_EXTENSIONS, MIN_SECONDS, PRECISIONS, FileCaptions

if TYPE_CHECKING:
    from pseudocap.captioner import FileCaptioner
    from pseudocap.hub.external import External
    from pseudocap.hub.fetch import Fetched

EPILOG = """FILE is a video, an image, a folder (with all below it), a pattern in quotes ('films/*.mp4'), or an address
that fsspec knows (s3://bucket/film.mp4); with --modalities a also a sound (.wav, .mp3, ...).

Without --out the captions are printed; with it they are a file of that folder for each FILE, or one file where the name
says so: x.srt, x.vtt, x.txt or x.json of one FILE, x.jsonl or x.parquet of all. The same command again skips the files
that are finished, also after it was killed. Files that cannot be read are listed at the end, and the exit code is then
1; the others are captioned all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to caption; see below")
    add_captioner_options(parser)
    add_flag(parser, "--dense", "a caption for every clip of a video; srt and vtt imply it")
    add_option(parser, "--clip-seconds", float, "S", "length of a clip (8)")
    add_option(parser, "--min-seconds", float, "S", "leave out a shorter rest (1)")
    add_shot_options(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="jsonl is caption rows (docs/rows.md), json a document for each file, parquet a table of all "
        "(what --out is named as, else text)",
    )
    add_option(
        parser,
        "--out",
        Path,
        "DIR",
        "write a file for each instead of printing; also FILE.srt of one video, FILE.jsonl or FILE.parquet of all",
    )
    add_flag(parser, "--overwrite", "caption anew what --out holds; else finished files are skipped")
    add_option(parser, "--preview", Path, "DIR", "also small films with the captions written below")
    add_decoding_options(
        parser, FileDecoding(), "beams top_p seed max_new_tokens num_frames batch_size prompt language"
    )
    parser.add_argument(
        "--modalities",
        choices=tuple(GROUPS),
        help="of a captioner that hears: by sight and sound, by sight, or by sound alone (all that a file has)",
    )


def add_captioner_options(parser: argparse.ArgumentParser) -> None:
    """Declare which captioner `load_model` loads, and how."""
    parser.add_argument(
        "--checkpoint",
        default=DEFAULT_CAPTIONER,
        metavar="N",
        help=f"a row, a directory or a repo; also of any image-text model of transformers ({DEFAULT_CAPTIONER})",
    )
    add_checkpoints_option(parser)
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
    form = form_of(args.format, args.out)
    dense = args.dense or form in ("srt", "vtt")
    lengths, cuts = _lengths(args, dense), read_cuts(args)
    decoding = read_decoding(args, FileDecoding, finish=True)
    if args.overwrite and args.out is None:
        raise ConfigError("--overwrite is about the files of --out, which is missing")
    with _going_on(args.out), _files(args.files, sounds=args.modalities == "a") as named:
        captioner = find_any_captioner(args.checkpoint, args.checkpoints, frames=args.frames)
        refuse_deafness(args, captioner)
        refuse_language(args, captioner)
        settings = {"checkpoint": fingerprint(captioner), "frames": args.frames, "precision": args.precision}
        settings |= {"dense": dense, **lengths, **asdict(decoding), "batch_size": None}  # which changes no caption
        settings |= {} if cuts is None else {"cuts": dict(cuts.settings)}
        for name in ("modalities", "language"):  # without these, as runs of before they were there are known
            if not getattr(args, name):
                del settings[name]
        files = [(each.name, each.path) for each in named]
        delivery = plan_delivery(
            files, form=form, dense=dense, out=args.out, checkpoint=args.checkpoint, run=hash_run(settings),
            overwrite=args.overwrite,
        )  # fmt: skip
        previews = in_folder(files, args.preview, ".preview.mp4", "--preview") if args.preview else None
        todo = [number for number in range(len(files)) if not _is_done(number, named[number], delivery, previews)]
        if skipped := len(files) - len(todo):
            there = f"{counted(skipped, 'file')} whose captions are in {args.out}"
            print(f"skipped: {there} (--overwrite captions them anew)", file=sys.stderr)
        for number in todo:
            named[number].fetch()
        caption = partial(_captioned, args, captioner, decoding, {**lengths, "cuts": cuts} if dense else None)
        left = todo or (delivery.journal is not None and delivery.journal.path.exists())  # of a run that was killed
        failures, filmed = _deliver(named, todo, delivery, previews, caption) if left else ([], 0)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    previewed = f"previews of {counted(filmed, 'file')} in {args.preview}" if filmed else ""
    if written := [each for each in (delivery.summary() if todo else "", previewed) if each]:
        print(f"written: {'; '.join(written)}", file=sys.stderr)
    return 1 if failures else 0


def refuse_deafness(args: argparse.Namespace, captioner: Fetched | External) -> None:
    """Refuse captions by sound of a captioner that does not hear."""
    folder = getattr(captioner, "folder", None)
    if args.modalities not in (None, "v") and (folder is None or not read_any_config(folder).hears):
        raise ConfigError(
            f"--modalities {args.modalities}: {args.checkpoint} does not hear; leave it out, or name one that does"
        )


def refuse_language(args: argparse.Namespace, captioner: Fetched | External) -> None:
    """Refuse captions in a language that the captioner has not learned to be asked for."""
    if not args.language:
        return
    folder = getattr(captioner, "folder", None)
    config = None if folder is None else read_any_config(folder)
    learned = getattr(config, "languages", ())
    if args.language not in learned:
        has = f"it has learned {', '.join(learned)}" if learned else "it writes one language alone; leave it out"
        raise ConfigError(f"--language {args.language}: {args.checkpoint} has not learned to write it: {has}")


@contextmanager
def _going_on(out: Path | None) -> Iterator[None]:
    """Print for who interrupts a run with --out that nothing captioned is lost."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        raise Interrupted(f"stopped; the same command goes on, with what {out} does not hold yet") from None


def _is_done(number: int, named: MediaFile, delivery: CaptionDelivery, previews: Sequence[Path] | None) -> bool:
    if number not in delivery.finished:
        return False
    still = Path(named.name).suffix.lower() in IMAGE_EXTENSIONS
    return previews is None or still or previews[number].is_file()


def _captioned(
    args: argparse.Namespace,
    captioner: Fetched | External,
    decoding: FileDecoding,
    clips: dict[str, Any] | None,
    paths: Sequence[Path],
) -> Iterator[FileCaptions]:
    """Caption files; where none of them can be opened that is found out without a captioner, which takes seconds."""
    if (broken := _unreadable(paths, heard=args.modalities == "a")) is not None:
        return iter(broken)
    if not sys.stderr.isatty():  # where no bar moves; the imports alone take seconds
        print(f"loading {args.checkpoint}", file=sys.stderr, flush=True)
    model = load_model(args, captioner)
    from pseudocap.caption_files import caption_densely, caption_files

    return caption_files(model, paths, decoding) if clips is None else caption_densely(model, paths, decoding, **clips)


def _unreadable(paths: Sequence[Path], *, heard: bool) -> list[FileCaptions] | None:
    """Return the error of each file; None where one can be opened, or where sound alone is wanted can be `heard`."""
    from pseudocap.audio.waveform import sound_alone
    from pseudocap.video.decode import probe

    broken = []
    for path in paths:
        try:
            if heard and sound_alone(path) is not None:
                return None
            probe(path)
        except DecodeError as error:
            broken.append(FileCaptions(file=str(path), error=str(error)))
        else:
            return None
    return broken


def _deliver(
    named: Sequence[MediaFile],
    todo: Sequence[int],
    delivery: CaptionDelivery,
    previews: Sequence[Path] | None,
    caption: Callable[[Sequence[Path]], Iterator[FileCaptions]],
) -> tuple[list[str], int]:
    """Caption what is to be done and write it; return what went wrong, and how many previews there are."""
    from pseudocap.cli.progress import progress_of

    failures: list[str] = []
    filmed = 0
    captioned = caption([named[number].path for number in todo]) if todo else iter(())
    with progress_of("captioning", "files") as progress, delivery.kept():
        for done, (number, found) in enumerate(zip(todo, captioned, strict=True), start=1):
            name, path = named[number].name, named[number].path
            if found.error:
                failures.append(found.error.replace(found.file, name))
                found = replace(found, error=failures[-1])
            delivery.take(number, name, found)
            if previews is not None and found.captions and found.captions[-1].end > 0:
                problem = _preview(name, path, previews[number], found)
                filmed += not problem
                failures += problem
            progress(done, len(todo))
    return failures, filmed


def load_model(args: argparse.Namespace, captioner: Fetched | External) -> FileCaptioner[Any]:
    """Load a captioner that was found, and print what its user must know of it."""
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
    """Return the lengths of clips that were given, checked."""
    names = ("clip_seconds", "min_seconds")
    lengths = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    longest = lengths.get("clip_seconds", CLIP_SECONDS)
    require_clip_lengths(longest, lengths.get("min_seconds", 0))
    if args.clips != "fixed" and not dense:
        raise ConfigError("--clips shots is of clips: add --dense, or leave it out")
    if lengths and not dense:
        raise ConfigError(f"--{next(iter(lengths)).replace('_', '-')} is of clips: add --dense, or leave it out")
    if longest < MIN_SECONDS:
        lengths.setdefault("min_seconds", longest)  # or no clip were long enough
    return lengths


def _preview(name: str, path: Path, target: Path, found: FileCaptions) -> list[str]:
    """Write the preview of a file; return what went wrong, if anything."""
    from pseudocap.video.burn import burn

    try:
        burn(path, target, found.captions)
    except DecodeError as failure:
        return [str(failure).replace(str(path), name)]
    return []


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaFile:
    """Hold how a file is called, and where it lies: what lies elsewhere once it is fetched, and by which word."""

    name: str
    path: Path
    remote: RemotePath | None = None
    word: str = ""

    def fetch(self) -> None:
        if self.remote is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.remote.fetch(self.path)
        except OSError as error:
            raise DataError(f"{self.word} cannot be fetched: {first_line(error)}") from error


@contextmanager
def _files(given: Sequence[str], *, sounds: bool) -> Iterator[list[MediaFile]]:
    """Find the files; what lies elsewhere is removed afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        found: dict[str, MediaFile] = {}
        for number, word in enumerate(given):
            listed: Iterable[MediaFile] = (
                _listed(word, Path(scratch) / str(number))
                if "://" in word
                else map(_here, media_files(word, sounds=sounds))
            )
            for each in listed:
                found.setdefault(each.name, each)
        yield list(found.values())


def _here(path: Path) -> MediaFile:
    return MediaFile(name=str(path), path=path)


def _listed(url: str, folder: Path) -> list[MediaFile]:
    try:
        remote = RemotePath(url).matching()
    except OSError as error:
        raise DataError(f"{url} cannot be fetched: {first_line(error)}") from error
    if not remote:
        raise DataError(f"{url}: nothing there has such a name")
    return [
        MediaFile(name=each.url, path=folder / f"{number}{Path(each.name).suffix}", remote=each, word=url)
        for number, each in enumerate(remote)
    ]
