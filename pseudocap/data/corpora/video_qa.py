"""Read MSR-VTT-QA, MSVD-QA, ActivityNet-QA and TGIF-FrameQA: open questions about videos with one answer each.

- MSR-VTT-QA: `train_qa.json` and so on, lists of `{"answer", "category_id", "id", "question", "video_id"}`; the video
  is `video<video_id>`. The toy world writes this form, its videos by their names and each question's `kind` beside it.
- MSVD-QA: the same without a category; `vid<video_id>` is named by MSVD's mapping file, which must lie beside it.
- ActivityNet-QA: `train_q.json`, `[{"video_name", "question", "question_id"}]`, and `train_a.json`, `[{"answer",
  "type", "question_id"}]`.
- TGIF-FrameQA: `Train_frameqa_question.csv`, tab-separated `gif_name question answer type vid_id description`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.base import NAMES, Annotations, Checks, Corpus, split_files
from pseudocap.data.corpora.msvd import MAPPINGS, mapping_in, read_mapping
from pseudocap.data.corpora.questions import question_corpus, question_row, require_task
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

LAYOUT = tuple(f"{split}_qa.json" for split in NAMES)
ACTIVITYNET = tuple(f"{split}_q.json" for split in NAMES)
TGIF = ("Train_frameqa_question.csv", "Test_frameqa_question.csv")
MSRVTT_QUESTIONS = {"train": 158_581, "val": 12_278, "test": 72_821}
MSVD_QUESTIONS = {"train": 30_933, "val": 6_415, "test": 13_157}
ACTIVITYNET_QUESTIONS = {"train": 32_000, "val": 18_000, "test": 8_000}
TGIF_QUESTIONS = {"train": 39_392, "test": 13_691}
ACTIVITYNET_KINDS = (
    *("motion", "spatial relationship", "temporal relationship", "yes or no", "color", "object", "location"),
    *("number", "other"),
)
TGIF_KINDS = ("object", "number", "color", "location")


def read_msrvtt_qa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its files, or from files whose names hold train, val or test."""
    return _read_lists(
        "msrvtt-qa", annotations, lambda path: _msrvtt_name, questions=MSRVTT_QUESTIONS, allow_partial=allow_partial
    )


def read_msvd_qa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its files and of MSVD's mapping file."""

    def names(path: Path) -> Callable[[object, str], str]:
        mapping = mapping_in(path.parent)
        if mapping is None:
            raise DataError(f"{path}: it numbers its videos; put MSVD's {' or '.join(MAPPINGS)} beside it")
        clips = read_mapping(mapping)

        def name(number: object, where: str) -> str:
            if f"vid{number}" not in clips:
                raise DataError(f"{where}: {mapping.name} has no vid{number}; fetch the file that belongs to it")
            return clips[f"vid{number}"]

        return name

    return _read_lists("msvd-qa", annotations, names, questions=MSVD_QUESTIONS, allow_partial=allow_partial)


def _msrvtt_name(number: object, where: str) -> str:
    return f"video{number}" if isinstance(number, int) else reading.string(number, "video_id", where=where)


def _read_lists(
    name: str,
    annotations: Annotations,
    names: Callable[[Path], Callable[[object, str], str]],
    *,
    questions: Mapping[str, int],
    allow_partial: bool,
) -> Corpus:
    files = split_files(annotations, LAYOUT, corpus=name)
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    for path, split in files.items():
        name_of = names(path)
        for where, record in reading.records(path, "questions", "{'question': .., 'answer': .., 'video_id': ..}"):
            require_task(record, "question", "answer", "video_id", "id", where=where)
            rows += question_row(
                record,
                video=name_of(reading.field(record, "video_id", object, where=where), where),
                number=reading.field(record, "id", object, where=where),
                answers=[reading.field(record, "answer", object, where=where)],
                split=split,
                where=where,
                checks=checks,
                kind=str(record.get("kind") or ""),
            )
    return question_corpus(name, rows, files=files, checks=checks, questions=questions)


def read_activitynet_qa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its files, or from the files of questions, beside which the answers lie."""
    files = split_files(annotations, ACTIVITYNET, corpus="ActivityNet-QA")
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    read = []
    for path, split in files.items():
        answered = path.with_name(f"{path.stem.removesuffix('_q')}_a.json")
        answers = dict(_activitynet_answers(answered))
        read += [path, answered]
        for where, record in reading.records(
            path, "questions", "{'video_name': .., 'question': .., 'question_id': ..}"
        ):
            require_task(record, "question", "question_id", "video_name", where=where)
            number = reading.field(record, "question_id", str, where=where)
            if number not in answers:
                error = DataError(f"{where}: {answered.name} has no answer to {number}; fetch both files again")
                checks.skip("questions without an answer", error)
                continue
            kind, answer = answers[number]
            name = reading.field(record, "video_name", str, where=where)
            rows += question_row(
                record, video=f"v_{name}", number=number, answers=[answer], split=split, where=where, checks=checks,
                kind=kind,
            )  # fmt: skip
    return question_corpus("activitynet-qa", rows, files=read, checks=checks, questions=ACTIVITYNET_QUESTIONS)


def _activitynet_answers(path: Path) -> Iterator[tuple[str, tuple[str, object]]]:
    for where, record in reading.records(path, "answers", "{'answer': .., 'type': .., 'question_id': ..}"):
        require_task(record, "answer", "type", "question_id", where=where)
        answer, number = record["answer"], reading.field(record, "type", int, where=where)
        if not 0 <= number < len(ACTIVITYNET_KINDS):
            raise DataError(f"{where}: type is {number} and must be from 0 to {len(ACTIVITYNET_KINDS) - 1}")
        yield reading.field(record, "question_id", str, where=where), (ACTIVITYNET_KINDS[number], answer)


def read_tgif_frameqa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its two files, or from files whose names hold train or test."""
    files = split_files(annotations, TGIF, corpus="TGIF-FrameQA")
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    for path, split in files.items():
        for line, record in reading.csv_rows(path, delimiter="\t", quoting=csv.QUOTE_NONE):
            rows += _tgif_row(record, line, split, f"{path}, line {line}", checks)
    return question_corpus("tgif-frameqa", rows, files=files, checks=checks, questions=TGIF_QUESTIONS)


def _tgif_row(record: Mapping[str, Any], line: int, split: str, where: str, checks: Checks) -> list[CaptionedVideo]:
    require_task(record, "gif_name", "question", "answer", "type", where=where)
    kind = reading.field(record, "type", str, where=where).strip()
    if not kind.isdecimal() or int(kind) >= len(TGIF_KINDS):
        raise DataError(f"{where}: type is {kind!r} and must be from 0 to {len(TGIF_KINDS) - 1}")
    return question_row(
        record,
        video=reading.identifier(reading.field(record, "gif_name", str, where=where), "gif_name", where=where),
        number=record.get("vid_id") or line,
        answers=[reading.field(record, "answer", object, where=where)],
        split=split,
        where=where,
        checks=checks,
        kind=TGIF_KINDS[int(kind)],
    )
