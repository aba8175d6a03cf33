"""Score captions, with what one needs to believe the number: `pseudocap score PREDICTIONS REFERENCES`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_flag, add_option
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.files.atomic import unfinished

if TYPE_CHECKING:
    from pseudocap.metrics.formats import CaptionFile
    from pseudocap.metrics.language import Language
    from pseudocap.metrics.resample import Difference
    from pseudocap.metrics.suite import Scores

EPILOG = """files: caption rows (.jsonl, .json, .csv, .parquet; what pseudocap caption writes), coco-caption's JSON,
MSR-VTT's JSON, {id: text} or {id: [text, ...]}, .jsonl with one such row a line, .txt or .tsv with id, tab, caption;
docs/metrics.md has an example of each. Predictions are matched by their video's name where no id is the same.
metrics: CIDEr-D CIDEr BLEU-1 ... BLEU-4 ROUGE-L METEOR SPICE; the last two need Java."""

OF_CAPTIONS = (  # options that answers have no use for
    *("text_language", "metrics", "by", "against", "language", "training", "truth"),
    *("write_predictions", "write_references", "write_scores"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="one caption a video")
    parser.add_argument(
        "references",
        type=NamedCorpus.of,
        metavar="REFERENCES",
        help="captions that people wrote: a file, or msrvtt:DIR, msvd:DIR, vatex:DIR of official annotations; or of "
        "questions, questions:FILE, msrvtt-qa:DIR and the like, for the answers of `pseudocap ask --format jsonl`",
    )
    parser.add_argument(
        "--text-language",
        metavar="CODE",
        help="of the captions: Chinese and Japanese by characters (default: the rows')",
    )
    add_option(parser, "--metrics", str, "NAME,NAME", "default: CIDEr-D,BLEU-4,ROUGE-L")
    add_option(parser, "--split", str, "NAME", "only the references whose video has this split")
    add_flag(parser, "--allow-partial", "take annotations of a corpus whose counts are not the official ones")
    add_flag(parser, "--allow-missing", "score the videos that have both")
    add_option(parser, "--by", str, "FIELD", "also by a field of the references' videos, as category")
    add_option(parser, "--examples", 3, "N", "worst and best captions")
    parser.add_argument("--bootstrap", type=int, default=0, metavar="N", help="95%% intervals from N resamples")
    add_option(parser, "--against", Path, "FILE", "another system's captions: paired test")
    add_option(parser, "--seed", 0, None, "of the resampling")
    add_flag(parser, "--language", "variety and length of the captions")
    add_option(parser, "--training", Path, "FILE", "captions learned from: share of new ones")
    add_option(parser, "--truth", Path, "FILE", '{id: {"objects": [..], "actions": [..]}}')
    add_option(parser, "--java-timeout", 900.0, "S", "for METEOR, SPICE")
    add_flag(parser, "--json", "one JSON object instead of text")
    add_option(parser, "--write-predictions", Path, "FILE", "the predictions, in --form")
    add_option(parser, "--write-references", Path, "FILE", "the references, in --form")
    add_option(parser, "--write-scores", Path, "FILE", "JSON rows of each video's scores")
    parser.add_argument("--form", choices=("coco", "plain", "jsonl"), default="coco", help="to write (coco)")


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """Hold all requested scores."""

    scores: Scores
    by: Mapping[str, Scores]
    ranked: Sequence[tuple[float, str, str, str]]  # value, video, caption, its first reference; worst first
    examples: int
    language: Language | None
    differences: Mapping[str, Difference]


def run(args: argparse.Namespace) -> int:
    from pseudocap.errors import DataError
    from pseudocap.languages import language_facts
    from pseudocap.metrics import formats
    from pseudocap.metrics.measures import METRICS, measure
    from pseudocap.metrics.references import References
    from pseudocap.metrics.suite import compare, score

    metrics = [name.strip() for name in args.metrics.split(",")] if args.metrics else METRICS
    for name in metrics:
        measure(name)
    if args.text_language:
        language_facts(args.text_language)
    require_at_least(args, examples=0)
    args.references.require("references")
    for file in ("predictions", "--against", "--training", "--truth"):
        path = getattr(args, file.removeprefix("--"))
        if path is not None and not path.exists():
            raise DataError(f"{file} {path}: there is no such file")
    if args.references.asks:
        return _score_answers(args)
    given = formats.read_predictions(args.predictions)
    read = _references(args)
    if args.split:
        read = read.only(field="split", value=args.split, path=args.references)
    predictions = formats.match_ids(given, read.captions)
    references = References(read.captions, language=args.text_language or _language_of_rows(read))
    options = {"references": references, "metrics": metrics, "allow_missing": args.allow_missing, "seed": args.seed}
    scores = score(predictions=predictions, bootstrap=args.bootstrap, java_timeout=args.java_timeout, **options)
    differences = {}
    if args.against:
        against = formats.match_ids(formats.read_predictions(args.against), read.captions)
        samples = args.bootstrap or 1000
        try:
            differences = compare(predictions=predictions, baseline=against, samples=samples, **options)
        except DataError as error:  # the predictions themselves have been scored, so it is the other file's
            raise DataError(f"--against {args.against}: {error}") from error
    ranked_by = scores.per_video(next(iter(scores))) if scores else {}  # the first metric that was computed
    values = {str(video): value for video, value in ranked_by.items()}
    report = ScoreReport(
        scores=scores,
        by=_by(args, read, scores),
        ranked=sorted((value, video, predictions[video], read.captions[video][0]) for video, value in values.items()),
        examples=args.examples,
        language=_language(args, predictions),
        differences=differences,
    )
    _write(args, predictions, read, scores)
    if not args.json:
        print("\n".join(_lines(report)))
    else:
        print(json.dumps(_document(report), ensure_ascii=False, indent=2))
        if scores.missing:
            print(f"note: {scores.coverage}", file=sys.stderr)
    return 0 if scores else 1


def _score_answers(args: argparse.Namespace) -> int:
    """Score answers, rows of `pseudocap ask --format jsonl`, against those of a dataset of questions."""
    from pseudocap.cli.tables import print_table
    from pseudocap.data.videos import plain_name
    from pseudocap.errors import ConfigError, DataError
    from pseudocap.files import reading
    from pseudocap.metrics.answers import score_answers
    from pseudocap.questions import prompt_of
    from pseudocap.rows import read_records

    if given_options := [name for name in OF_CAPTIONS if getattr(args, name)]:
        option = given_options[0].replace("_", "-")
        raise ConfigError(f"--{option} is of captions, and {args.references} has questions; leave it out")
    corpus = args.references.read(split="test", allow_partial=args.allow_partial)
    rows = corpus.split(args.split).rows if args.split else corpus.rows
    given: dict[tuple[str, str], str] = {}
    for where, record in read_records(args.predictions):
        video, question, answer = (
            reading.field(record, name, str, where=where) for name in ("video", "question", "answer")
        )
        given[Path(plain_name(video)).name, prompt_of(question)] = answer
    keys = {row.id: (Path(plain_name(row.video)).name, prompt_of(row.question)) for row in rows}
    if not given.keys() & {*keys.values()}:
        raise DataError(f"{args.predictions} answers none of the {len(rows):,} questions of {args.references}")
    scores = score_answers(
        predictions={name: given[key] for name, key in keys.items() if key in given},
        answers={row.id: row.captions for row in rows},
        kinds={row.id: row.kind for row in rows},
        videos={row.id: row.video for row in rows},
        bootstrap=args.bootstrap,
        seed=args.seed,
        allow_missing=args.allow_missing,
    )
    if args.json:
        print(json.dumps(scores.to_dict(), indent=2))
    else:
        print_table("", ("questions", "count", "accuracy", "interval"), scores.rows(), left=("questions",))
    return 0


def _references(args: argparse.Namespace) -> CaptionFile:
    from pseudocap.metrics.formats import CaptionFile, read_references

    named: NamedCorpus = args.references
    if named.kind == "own":
        return read_references(named.path)
    rows = named.read(split="test", allow_partial=args.allow_partial).rows
    facts: dict[str, dict[str, Any]] = {row.id: {"split": row.split} for row in rows}
    if named.kind == "vatex-zh":
        facts = {video: {**known, "language": "zh"} for video, known in facts.items()}
    for row in rows:
        if row.category is not None:
            facts[row.id]["category"] = row.category
    return CaptionFile(captions={row.id: list(row.captions) for row in rows}, facts=facts)


def _language_of_rows(read: CaptionFile) -> str:
    """Return the language that all references name; where they name none, or one that is not known, English."""
    from pseudocap.languages import LANGUAGES

    named = {str(facts.get("language") or "en") for facts in read.facts.values()} or {"en"}
    return named.pop() if len(named) == 1 and named <= set(LANGUAGES) else "en"


def _by(args: argparse.Namespace, read: CaptionFile, scores: Scores) -> Mapping[str, Scores]:
    from pseudocap.errors import DataError

    if not args.by:
        return {}
    groups = {video: str(facts[args.by]) for video, facts in read.facts.items() if args.by in facts}
    if not groups:
        fields = sorted({name for facts in read.facts.values() for name in facts})
        raise DataError(
            f"--by {args.by}: no video in {args.references} has this field; there are: {', '.join(fields) or 'none'}"
        )
    return scores.by(groups)


def _language(args: argparse.Namespace, predictions: Mapping[str, str]) -> Language | None:
    from pseudocap.metrics import formats
    from pseudocap.metrics.language import describe

    if not (args.language or args.training or args.truth):
        return None
    training = None
    if args.training:
        training = [text for texts in formats.read_references(args.training).captions.values() for text in texts]
    truth = formats.read_truth(args.truth) if args.truth else None
    return describe(predictions=predictions, training=training, truth=truth)


def _write(args: argparse.Namespace, predictions: Mapping[str, str], read: CaptionFile, scores: Scores) -> None:
    from pseudocap.metrics import formats

    if args.write_predictions:
        formats.write_predictions(args.write_predictions, predictions, form=args.form)
    if args.write_references:
        formats.write_references(args.write_references, read.captions, form=args.form)
    if args.write_scores:
        columns = {name: scores.per_video(name) for name in scores}
        rows = [
            {"image_id": formats.row_id(video)} | {name: column[video] for name, column in columns.items()}
            for video in map(str, scores.coverage.scored)
        ]
        with unfinished(args.write_scores, contested=True) as scratch:
            scratch.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _document(report: ScoreReport) -> dict[str, Any]:
    scores = report.scores
    rows = [dict(zip(("score", "id", "prediction", "reference"), row, strict=True)) for row in report.ranked]
    return {
        "videos": str(scores.coverage),
        "scored": scores.n,
        "missing": list(scores.missing),
        "unknown": list(scores.coverage.unknown),
        "scores": dict(scores),
        "tokenization": scores.tokenization,
        "intervals": {name: [interval.low, interval.high] for name, interval in scores.intervals.items()},
        "not_computed": scores.not_computed,
        "by": {name: {"scored": part.n, "scores": dict(part)} for name, part in report.by.items()},
        "worst": rows[: report.examples],
        "best": rows[::-1][: report.examples],
        "language": asdict(report.language) if report.language else None,
        "against": {name: asdict(found) for name, found in report.differences.items()},
    }


def _lines(report: ScoreReport) -> Iterator[str]:
    yield from report.scores.lines()
    if report.differences:
        yield "\nagainst the other system, on the videos that both have (p: paired, two-sided)"
    for name, found in report.differences.items():
        interval = f"[{found.interval.low:+.2f}, {found.interval.high:+.2f}]"
        yield f"{name:<8} {found.value:+8.2f}  {interval}  p = {found.p:.3f}"
    if report.by:
        width = max(map(len, report.by))
        yield "\n" + " " * width + "  videos " + " ".join(f"{name:>8}" for name in report.scores)
    for name, part in report.by.items():
        yield f"{name:<{width}} {part.n:>7}  " + " ".join(f"{value:8.2f}" for value in part.values())
    if report.language:
        yield "\nlanguage"
        for name, figure in asdict(report.language).items():
            text = "not asked for or unknown" if figure is None else f"{figure:.3f}".removesuffix(".000")
            yield f"{name.replace('_', ' '):<22} {text}"
    if report.ranked and report.examples > 0:
        metric = next(iter(report.scores))
        for title, rows in (("worst", report.ranked), ("best", report.ranked[::-1])):
            yield f"\n{title} by {metric}"
            for value, video, caption, reference in rows[: report.examples]:
                yield f"{value:8.2f}  {video}: {caption!r}  (a reference: {reference!r})"
