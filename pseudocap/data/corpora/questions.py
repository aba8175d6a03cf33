"""Read questions about videos with their answers, as rows whose captions are the answers; your own, and the form of
VALOR's release. What all published datasets of questions share is here, too.

Your own are `.jsonl`, `.json` or `.csv` of `{"video": "a.mp4", "question": "what runs?", "answer": "dog"}`; an answer
may be a list of all that people gave, and `kind`, `split`, `start`, `end` may stand beside it. VALOR's code reads
`train_id.json`, a list of ids, and beside the lists `txt_mapper.json`, `{id: [{"question": .., "answer": ..}]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.base import NAMES, Annotations, Checks, Corpus, fixed_corpus, split_files, split_name
from pseudocap.errors import DataError, InputError
from pseudocap.files import reading
from pseudocap.questions import form_of, prompt_of
from pseudocap.rows import read_records
from pseudocap.types import CaptionedVideo

LISTED = tuple(f"{split}_id.json" for split in NAMES)
MAPPER = "txt_mapper.json"


def question_row(
    record: Any,
    *,
    video: str,
    number: object,
    answers: Iterable[object],
    split: str,
    where: str,
    checks: Checks,
    kind: str = "",
    text: str | None = None,
    name: str = "question",
    span: tuple[float | None, float | None] = (None, None),
) -> list[CaptionedVideo]:
    """Return the row of a question, whose text is the field `name` of its record or `text`; none where it cannot be
    used and may be left out. Its type is its form unless the corpus has another."""
    try:
        given = reading.field(record, name, str, where=where) if text is None else text
        question = reading.caption(given, where=where, name=name)
        prompt_of(question)
        texts = tuple(reading.caption(answer, where=where, name="answer") for answer in answers)
    except DataError as error:
        checks.skip("unusable questions", error)
        return []
    except InputError as error:
        checks.skip("unusable questions", DataError(f"{where}: {error}"))
        return []
    return [
        CaptionedVideo(
            id=f"{video}#{number}",
            video=video,
            captions=texts,
            split=split,
            start=span[0],
            end=span[1],
            question=question,
            kind=kind or form_of(question),
        )
    ]


def require_task(record: Any, *names: str, where: str) -> None:
    """Raise DataError where a record has not the fields of a question, as in a file of captions or of choices."""
    fields = [*record] if isinstance(record, Mapping) else []
    if lacking := [name for name in names if name not in fields]:
        there = ", ".join(map(repr, fields)) or f"{record!r:.60}"
        raise DataError(f"{where}: there is no {lacking[0]!r}, only {there}: the file is of another task or dataset")


def question_corpus(
    name: str,
    rows: Sequence[CaptionedVideo],
    *,
    files: Iterable[Path],
    checks: Checks,
    questions: Mapping[str, int],
) -> Corpus:
    """Build the corpus of questions whose number in each split is known. Splits of which no file was given are not
    missed."""
    given = {row.split for row in rows}
    counts = {split: count for split, count in questions.items() if split in given}
    return fixed_corpus(name, _unique(rows), files=tuple(files), checks=checks, videos=counts, of="questions")


def _unique(rows: Sequence[CaptionedVideo]) -> Sequence[CaptionedVideo]:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.split, row.id) in seen:
            raise DataError(f"the question {row.id!r} is twice in {row.split}; keep one of them")
        seen.add((row.split, row.id))
    return rows


def read_questions(source: str | PathLike[str], *, split: str = "test", allow_partial: bool = False) -> Corpus:
    """Read your own questions from a file or a folder of such files; `split` is that of the rows that name none."""
    path = Path(source)
    files = (
        sorted(each for each in path.iterdir() if each.suffix in (".jsonl", ".json", ".csv"))
        if path.is_dir()
        else [path]
    )
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    for file in files:
        for number, (where, record) in enumerate(read_records(file)):
            rows += _own(record, f"{file.stem}-{number}" if len(files) > 1 else number, split, where, checks)
    if not rows:
        raise DataError(f"{path} holds no question; write rows of video, question and answer")
    return Corpus(name="questions", rows=tuple(rows), files=tuple(files), mismatches=checks.mismatches)


def _own(record: Any, number: object, split: str, where: str, checks: Checks) -> list[CaptionedVideo]:
    require_task(record, "question", "answer", where=where)
    answer = reading.field(record, "answer", object, where=where)
    start, end = (None if record.get(name) == "" else record.get(name) for name in ("start", "end"))  # "": of a table
    span = (None, None) if start is None and end is None else reading.span(start or 0, end, where=where)
    return question_row(
        record,
        video=reading.identifier(reading.field(record, "video", str, where=where), "video", where=where),
        number=record.get("id", number),
        answers=answer if isinstance(answer, list) else [answer],
        split=split_name(str(record.get("split") or split)),
        where=where,
        checks=checks,
        kind=str(record.get("kind") or ""),
        span=span,
    )


def read_valor_qa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read the questions of any dataset in the form of VALOR's release; their number is not known, so not checked."""
    files = split_files(annotations, LISTED, corpus="questions in VALOR's form")
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    documents = {mapper: _mapped(mapper) for mapper in dict.fromkeys(path.parent / MAPPER for path in files)}
    for path, split in files.items():
        mapper = path.parent / MAPPER
        document = documents[mapper]
        for where, given in reading.records(path, "ids of videos", "'<id>'"):
            video = reading.identifier(reading.string(given, "the id", where=where), "the id", where=where)
            if video not in document:
                checks.skip("videos without questions", DataError(f"{where}: {MAPPER} has no questions of {video}"))
                continue
            for number, record in enumerate(document[video]):
                of = f"{mapper} ({video})"
                require_task(record, "question", "answer", where=of)
                answer = record["answer"]
                answers = answer if isinstance(answer, list) else [answer]
                rows += question_row(
                    record, video=video, number=number, answers=answers, split=split, where=of, checks=checks
                )
    return question_corpus("valor-qa", rows, files=(*files, *documents), checks=checks, questions={})


def _mapped(path: Path) -> dict[str, list[Any]]:
    document = reading.read_document(path)
    if not isinstance(document, dict) or not all(isinstance(each, list) for each in document.values()):
        raise DataError(
            f"{path} must hold an object of questions by id, {{'<id>': [{{'question': .., 'answer': ..}}]}}"
        )
    return document
