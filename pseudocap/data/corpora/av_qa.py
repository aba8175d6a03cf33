"""Read VQAv2, whose questions are about pictures, and MUSIC-AVQA and AVQA, which ask about sight and sound.

- VQAv2: `v2_OpenEnded_mscoco_train2014_questions.json` and `v2_mscoco_train2014_annotations.json`, with ten answers to
  each question; the type is that of the answer (yes/no, number, other). Pictures have COCO's names.
- MUSIC-AVQA: `avqa-train.json` and so on, whose questions have `<gaps>` that `templ_values` fill in order; the answer's
  field is `anser`. The numbers checked are the paper's.
- AVQA: `train_qa.json` and `val_qa.json`, whose answer is the number of a choice; the choices are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pseudocap.data.corpora.base import Annotations, Checks, Corpus, split_files
from pseudocap.data.corpora.questions import question_corpus, question_row, require_task
from pseudocap.errors import DataError
from pseudocap.files import reading
from pseudocap.types import CaptionedVideo

VQA = tuple(f"v2_OpenEnded_mscoco_{split}2014_questions.json" for split in ("train", "val"))
MUSIC = tuple(f"avqa-{split}.json" for split in ("train", "val", "test"))
AVQA = ("train_qa.json", "val_qa.json")
VQA_QUESTIONS = {"train": 443_757, "val": 214_354}
MUSIC_QUESTIONS = {"train": 32_087, "val": 4_595, "test": 9_185}
AVQA_QUESTIONS = {"train": 40_425, "val": 16_910}
ANSWERS = 10  # of a question of VQAv2
GAP = re.compile(r"<[^>]*>")


def read_vqav2(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its files, or from the files of questions, beside which the annotations lie. Test
    questions have no answers, so they are not read."""
    files = split_files(annotations, VQA, corpus="VQAv2", names={"train2014": "train", "val2014": "val"})
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    read = []
    for path, split in files.items():
        annotated = path.with_name(f"v2_mscoco_{split}2014_annotations.json")
        answers = dict(_vqa_answers(annotated))
        read += [path, annotated]
        document = reading.read_document(path)
        if not isinstance(document, dict) or "questions" not in document:
            raise DataError(f"{path} holds no 'questions': the file is of another task or dataset")
        for position, record in enumerate(reading.field(document, "questions", list, where=str(path))):
            where = f"{path}, questions[{position}]"
            number = reading.field(record, "question_id", int, where=where)
            if number not in answers:
                error = DataError(f"{where}: {annotated.name} has no answers to {number}; fetch both files again")
                checks.skip("questions without an answer", error)
                continue
            kind, given = answers[number]
            picture = reading.field(record, "image_id", int, where=where)
            rows += question_row(
                record, video=f"COCO_{split}2014_{picture:012d}.jpg", number=number, answers=given, split=split,
                where=where, checks=checks, kind=kind,
            )  # fmt: skip
    return question_corpus("vqav2", rows, files=read, checks=checks, questions=VQA_QUESTIONS)


def _vqa_answers(path: Path) -> Iterator[tuple[int, tuple[str, list[object]]]]:
    for position, record in enumerate(reading.field(reading.read_document(path), "annotations", list, where=str(path))):
        where = f"{path}, annotations[{position}]"
        given = reading.field(record, "answers", list, where=where)
        if len(given) != ANSWERS:
            raise DataError(f"{where}: {len(given)} answers, and there must be {ANSWERS}; fetch the file again")
        texts = [reading.field(each, "answer", object, where=where) for each in given]
        kind = reading.field(record, "answer_type", str, where=where)
        yield reading.field(record, "question_id", int, where=where), (kind, texts)


def read_music_avqa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its files, or from files whose names hold train, val or test."""
    files = split_files(annotations, MUSIC, corpus="MUSIC-AVQA")
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    for path, split in files.items():
        for where, record in reading.records(path, "questions", "{'question_content': .., 'anser': .., 'type': ..}"):
            require_task(record, "question_content", "anser", "type", where=where)
            text = reading.field(record, "question_content", str, where=where)
            rows += question_row(
                record,
                video=reading.field(record, "video_id", str, where=where),
                number=reading.field(record, "question_id", object, where=where),
                answers=[record["anser"]],
                split=split,
                where=where,
                checks=checks,
                kind=" ".join(_values(record, "type", where)).lower(),
                text=_filled(text, _values(record, "templ_values", where), where),
            )
    return question_corpus("music-avqa", rows, files=files, checks=checks, questions=MUSIC_QUESTIONS)


def _values(record: Any, name: str, where: str) -> list[str]:
    """Return a list that is written as a text of JSON, as MUSIC-AVQA has them."""
    given = reading.field(record, name, object, where=where)
    try:
        values = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise DataError(f"{where}: {name} is {given!r:.60} and must be a list of texts")
    return values


def _filled(question: str, values: list[str], where: str) -> str:
    gaps = len(GAP.findall(question))
    if gaps != len(values):
        raise DataError(f"{where}: {gaps} gaps in {question!r} and {len(values)} templ_values; fetch the file again")
    left = iter(values)
    return GAP.sub(lambda gap: next(left), question)


def read_avqa(annotations: Annotations, *, allow_partial: bool = False) -> Corpus:
    """Read it from the folder of its two files, or from files whose names hold train or val."""
    files = split_files(annotations, AVQA, corpus="AVQA")
    checks = Checks(allow_partial=allow_partial)
    rows: list[CaptionedVideo] = []
    for path, split in files.items():
        for where, record in reading.records(path, "questions", "{'question_text': .., 'multi_choice': ..}"):
            require_task(record, "question_text", "multi_choice", "answer", where=where)
            choices = reading.field(record, "multi_choice", list, where=where)
            number = reading.field(record, "answer", int, where=where)
            if not 0 <= number < len(choices):
                raise DataError(f"{where}: answer is {number}, and there are {len(choices)} choices, from 0 on")
            rows += question_row(
                record,
                video=reading.field(record, "video_name", str, where=where),
                number=reading.field(record, "id", object, where=where),
                answers=[choices[number]],
                split=split,
                where=where,
                checks=checks,
                kind=reading.field(record, "question_type", str, where=where).lower(),
                name="question_text",
            )
    return question_corpus("avqa", rows, files=files, checks=checks, questions=AVQA_QUESTIONS)
