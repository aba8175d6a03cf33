"""Count the wrong words of transcripts: `pseudocap bench transcripts caption.json --references texts.txt`."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from pseudocap.cli.actions import Subcommand
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.tables import print_table
from pseudocap.errors import DataError
from pseudocap.types import MEDIA_EXTENSIONS

ASIDE = re.compile(r"\[[^]]*\]|<[^>]*>|\([^)]*\)")  # what is heard and not spoken


def _add_transcripts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transcripts", type=Path, metavar="FILE", help="of pseudocap transcribe, or like HowTo100M's")
    meaning = "what is spoken: lines of `name: text` (; begins a comment, [sound] is no speech), or a .json like FILE"
    add_option(parser, "--references", Path, "FILE", meaning, required=True)
    add_option(parser, "--language", "en", "CODE", "English is compared with numbers as digits")
    add_flag(parser, "--allow-missing", "leave out texts that have no transcript")
    add_option(parser, "--worst", 10, "N", "texts to print, those with the most errors first")
    add_option(parser, "--bootstrap", 1000, "N", "samples of the interval")
    add_flag(parser, "--json", "print the result as JSON, with every text")


def _transcripts(args: argparse.Namespace) -> int:
    require_at_least(args, worst=0, bootstrap=2)
    found, references = _read(args.transcripts), _read(args.references)
    from pseudocap.metrics.words import word_errors

    if args.allow_missing:
        references = {name: text for name, text in references.items() if name in found}
    errors = word_errors(found, references, language=args.language, samples=args.bootstrap)
    kinds = {name: sum(getattr(text, name) for text in errors.texts) for name in ("replaced", "left_out", "put_in")}
    if args.json:
        summary = {"rate": errors.rate, "interval": asdict(errors.interval), "words": errors.words, **kinds}
        texts = [asdict(text) for text in errors.texts]
        print(json.dumps({**summary, "exact": errors.exact, "texts": texts}, indent=1, ensure_ascii=False))
        return 0
    print(
        f"word error rate {errors.rate:.1f} % (95 %: {errors.interval.low:.1f} to {errors.interval.high:.1f}) of "
        f"{errors.words:,} words: {kinds['replaced']:,} replaced, {kinds['left_out']:,} left out, "
        f"{kinds['put_in']:,} put in; {errors.exact:,} of {len(errors.texts):,} texts without an error"
    )
    worst = sorted((text for text in errors.texts if text.errors), key=lambda text: -text.errors)[: args.worst]
    if worst:
        rows = [(text.name, text.errors, " ".join(text.reference), " ".join(text.found)) for text in worst]
        left = ("text", "spoken", "written")
        print_table("the most errors", ("text", "errors", "spoken", "written"), rows, left=left)
    return 0


def _read(path: Path) -> dict[str, str]:
    """Return texts by name, without extensions of media."""
    from pseudocap.data.corpora.howto100m import read_transcripts
    from pseudocap.files.reading import lines

    if path.suffix.lower() in (".json", ".csv") or path.is_dir():
        return {
            _plain(each.video): " ".join(segment.text for segment in each.segments) for each in read_transcripts(path)
        }
    texts: dict[str, str] = {}
    for number, line in lines(path):
        if line.lstrip().startswith(";"):
            continue
        name, colon, text = line.partition(":")
        if not (name.strip() and colon):
            raise DataError(f"{path}, line {number}: write `name: text`, or ; before a comment")
        if texts.setdefault(_plain(name.strip()), _spoken(text)) != _spoken(text):
            raise DataError(f"{path}, line {number}: {name.strip()!r} had another text before; keep one of them")
    return texts


def _plain(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in MEDIA_EXTENSIONS else name


def _spoken(text: str) -> str:
    return ASIDE.sub(" ", text).strip()


TRANSCRIPTS = Subcommand(
    summary="count the wrong words of transcripts, with an interval",
    add=_add_transcripts,
    run=_transcripts,
    example="pseudocap bench transcripts caption.json --references texts.txt",
)
