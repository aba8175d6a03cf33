"""Translate labels and captions: `pseudocap translate LABELS --to es,de --translator T --out DIR`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import refuse_file, require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.cli.progress import stages_of
from pseudocap.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pseudocap.label.translate import TranslateLabels, TranslationFilters
    from pseudocap.rows import CaptionRow
    from pseudocap.types import Progress

EPILOG = """LABELS: the --out of a finished `pseudocap label` or `mine`, caption rows (docs/rows.md), or official
annotations as msrvtt:DIR. Each language has its own folder of labels, DIR/es, or file, DIR/captions.es.jsonl.
T: apertium (the program, with the packages of its pairs), or a Marian, M2M-100, NLLB or mBART-50 of transformers,
by its folder or repo; {} in its name is the target's code, as Helsinki-NLP/opus-mt-en-{}.

The same command goes on after an interruption. Rows keep their verdicts and may gain some: untranslated, script,
length, round-trip. docs/languages.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help="what to translate")
    add_option(parser, "--to", str, "es,de", "the languages to translate into, by their codes", required=True)
    add_option(parser, "--translator", str, "T", "apertium, or a translator of transformers", required=True)
    add_option(parser, "--out", Path, "DIR", "the folder to write", required=True)
    parser.add_argument("--from", dest="source", default="en", metavar="CODE", help="the language of LABELS (en)")
    add_flag(parser, "--allow-partial", "take annotations of a corpus whose counts are not the official ones")
    group = parser.add_argument_group("translation")
    add_option(group, "--beams", 4, "N", "of a model; 1 is greedy")
    add_option(group, "--batch-size", 32, "N", "captions at once, of a model")
    add_option(group, "--device", "auto", None, "where a model runs")
    group = parser.add_argument_group("filters, whose verdicts are kept with the rows")
    add_option(group, "--max-copied", 0.5, "X", "share of the words that may be the source's")
    add_option(group, "--min-script", 0.5, "X", "share of the letters that are of the language's script")
    add_option(group, "--min-length", 0.4, "X", "length, where 1 is usual for the language")
    add_option(group, "--max-length", 2.5, "X", "the same")
    add_option(
        group, "--round-trip", 0.0, "X", "translate back, too: chrF with the source from 0 to 1 at least; 0: off"
    )
    add_option(group, "--back", str, "T", "translates back (default: T; {} in its name is the target's code)")
    add_flag(parser, "--json", "print the result as JSON")


def run(args: argparse.Namespace) -> int:
    languages = _languages(args)
    rows = _rows(args)
    rewriters = _rewriters(args, languages)
    report: dict[str, Any] = {}
    for language, rewriter in rewriters.items():
        with stages_of("translating") as display:
            if rows is None:
                report[language] = _translate_labels(args, language, rewriter, partial(display.draw, language))
            else:
                report[language] = _translate_rows(args, language, rows, rewriter, partial(display.draw, language))
        if not args.json:
            _print(report[language])
    if args.json:
        print(json.dumps(report))
    return 0


def _languages(args: argparse.Namespace) -> list[str]:
    """Check what needs no torch, and return the languages to translate into."""
    from pseudocap.languages import language_facts

    languages = [code.strip() for code in args.to.split(",")]
    for code in (args.source, *languages):
        language_facts(code)
    if args.source in languages or len(set(languages)) < len(languages):
        raise ConfigError(f"--to {args.to} must name each language once, and none that LABELS are in ({args.source})")
    require_at_least(args, beams=1, batch_size=1)
    _filters(args)
    if args.back is not None and not args.round_trip:
        raise ConfigError("--back is for --round-trip, which is off; name the chrF that is asked for")
    refuse_file("--out", args.out)
    return languages


def _filters(args: argparse.Namespace) -> TranslationFilters:
    from pseudocap.label.translate import TranslationFilters

    return TranslationFilters(**{each.name: getattr(args, each.name) for each in fields(TranslationFilters)})


def _rows(args: argparse.Namespace) -> list[CaptionRow] | None:
    """Return the caption rows that LABELS are; None where they are labels."""
    from pseudocap.data.corpora.named import NamedCorpus
    from pseudocap.files.remote import any_path
    from pseudocap.label.row_labels import row_files
    from pseudocap.label.run_folder import require_plan
    from pseudocap.rows import CaptionRow, read_rows

    named = NamedCorpus.of(args.labels)
    if named.kind != "own":
        named.require("LABELS")
        if named.asks:
            raise ConfigError(
                f"LABELS {named} has questions, and captions alone are translated: name a corpus of those"
            )
        corpus = named.read(split="test", allow_partial=args.allow_partial)
        return [
            CaptionRow(video=row.video, captions=row.captions, start=row.start, end=row.end, split=row.split)
            for row in corpus.rows
        ]
    if files := row_files(args.labels):
        return [row for path in files for row in read_rows(path, strict=False)]
    if "://" not in args.labels and not Path(args.labels).exists():
        raise DataError(f"{args.labels}: there is no such file or folder; name labels or captions")
    require_plan(any_path(args.labels))
    return None


def _rewriters(args: argparse.Namespace, languages: Sequence[str]) -> dict[str, TranslateLabels]:
    """Load all translators, so that one that is missing is reported before any work."""
    from pseudocap.label.translate import TranslateLabels
    from pseudocap.label.translators.base import APERTIUM, load_translator

    options: dict[str, Any] = {"batch_size": args.batch_size, "beams": args.beams}
    if {args.translator, args.back} - {APERTIUM, None}:
        from pseudocap.model.device import pick_device

        options["device"] = str(pick_device(args.device))
    found = {}
    for code in languages:
        name, returning = (each.replace("{}", code) for each in (args.translator, args.back or args.translator))
        translator = load_translator(name, source=args.source, target=code, **options)
        back = load_translator(returning, source=code, target=args.source, **options) if args.round_trip else None
        found[code] = TranslateLabels(translator, source=args.source, target=code, filters=_filters(args), back=back)
    return found


def _translate_labels(
    args: argparse.Namespace, language: str, rewriter: TranslateLabels, progress: Progress
) -> Mapping[str, object]:
    from pseudocap.label.rewrite import rewrite

    stats = rewrite(args.labels, args.out / language, rewriter, progress=progress)
    verdicts: Any = stats["verdicts"]
    return {
        "out": str(args.out / language),
        "rows": stats["clips"],
        "kept": stats["kept"],
        "verdicts": {name: found["clips"] for name, found in verdicts.items()},
    }


def _translate_rows(
    args: argparse.Namespace, language: str, rows: list[CaptionRow], rewriter: TranslateLabels, progress: Progress
) -> Mapping[str, object]:
    from pseudocap.label.near_duplicates import kind_of
    from pseudocap.label.translate import translate_rows

    path = args.out / f"captions.{language}.jsonl"
    made = translate_rows(rows, path, rewriter, progress=progress)
    verdicts = Counter(kind_of(verdict) for row in made for verdict in row.verdicts)
    return {
        "out": str(path),
        "rows": len(made),
        "kept": sum(row.usable for row in made),
        "captions": sum(len(row.captions) for row in made),
        "verdicts": dict(sorted(verdicts.items())),
    }


def _print(report: Mapping[str, Any]) -> None:
    verdicts = "; ".join(f"{name} {count:,}" for name, count in report["verdicts"].items())
    print(
        f"{report['out']}: {report['kept']:,} of {report['rows']:,} rows without a verdict"
        + f"; {verdicts}" * bool(verdicts)
    )
