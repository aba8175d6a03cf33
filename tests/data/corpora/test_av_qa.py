from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.corpora import write_json

from pseudocap.data.corpora import av_qa
from pseudocap.data.corpora.av_qa import read_avqa, read_music_avqa, read_vqav2
from pseudocap.errors import DataError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VQA_QUESTIONS", "MUSIC_QUESTIONS", "AVQA_QUESTIONS"):
        monkeypatch.setattr(av_qa, name, {"train": 1, "val": 1, "test": 1})


def test_published_numbers_are_demanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    write_json(tmp_path / "avqa-test.json", [music()])
    with pytest.raises(DataError, match="1 questions in test, and there must be 9,185"):
        read_music_avqa(tmp_path)
    assert sum(av_qa.MUSIC_QUESTIONS.values()) == 45_867
    assert sum(av_qa.AVQA_QUESTIONS.values()) == 57_335


def vqa(folder: Path, *, answers: int = 10) -> None:
    question = {"image_id": 9, "question": "Is it red?", "question_id": 9000}
    given = [{"answer": "yes" if n else "no", "answer_confidence": "yes", "answer_id": n} for n in range(answers)]
    annotation = {"question_id": 9000, "answers": given, "answer_type": "yes/no", "question_type": "is it"}
    write_json(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": [question]})
    write_json(folder / "v2_mscoco_val2014_annotations.json", {"annotations": [annotation]})


def test_vqav2_has_ten_answers_of_a_picture(tmp_path: Path) -> None:
    vqa(tmp_path)
    (row,) = read_vqav2(tmp_path).rows
    assert (row.id, row.split, row.kind) == ("COCO_val2014_000000000009.jpg#9000", "val", "yes/no")
    assert row.captions == ("no", *["yes"] * 9)
    vqa(tmp_path, answers=9)
    with pytest.raises(DataError, match=r"annotations\[0\]: 9 answers, and there must be 10"):
        read_vqav2(tmp_path)
    write_json(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", {"images": []})
    vqa_annotations = tmp_path / "v2_mscoco_val2014_annotations.json"
    write_json(vqa_annotations, {"annotations": []})
    with pytest.raises(DataError, match=r"holds no 'questions': the file is of another task"):
        read_vqav2(tmp_path)


def music(**changes: Any) -> dict[str, Any]:
    row = {"video_id": "00000093", "question_id": 3, "type": '["Audio-Visual", "Counting"]', "anser": "one"}
    row |= {"question_content": "How many sounds of <Object> in the <LR>?", "templ_values": '["ukulele", "left"]'}
    return row | changes


def test_the_gaps_of_music_avqa_are_filled(tmp_path: Path) -> None:
    write_json(tmp_path / "avqa-train.json", [music()])
    (row,) = read_music_avqa(tmp_path).rows
    assert (row.question, row.captions) == ("How many sounds of ukulele in the left?", ("one",))
    assert (row.id, row.kind) == ("00000093#3", "audio-visual counting")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templ_values": '["ukulele"]'}, "2 gaps in .* and 1 templ_values"),
        ({"templ_values": "ukulele"}, "templ_values is 'ukulele' and must be a list"),
        ({"type": "[1]"}, r"type is '\[1\]' and must be a list of texts"),
    ],
)
def test_a_broken_template_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_json(tmp_path / "avqa-train.json", [music(**changes)])
    with pytest.raises(DataError, match=rf"avqa-train.json, row 0: {message}"):
        read_music_avqa(tmp_path)


def test_the_answer_of_avqa_is_the_text_of_its_choice(tmp_path: Path) -> None:
    row = {"id": 183, "video_name": "-HG3Omg_89c_000030", "video_id": 341, "question_text": "What happened?"}
    row |= {"multi_choice": ["motorboat", "yacht", "bus"], "answer": 1, "question_type": "Happening"}
    write_json(tmp_path / "train_qa.json", [row])
    (found,) = read_avqa(tmp_path).rows
    assert (found.id, found.captions, found.kind) == ("-HG3Omg_89c_000030#183", ("yacht",), "happening")
    write_json(tmp_path / "train_qa.json", [row | {"answer": 3}])
    with pytest.raises(DataError, match="answer is 3, and there are 3 choices"):
        read_avqa(tmp_path)
    write_json(tmp_path / "train_qa.json", [{"answer": "sing", "id": 0, "question": "who?", "video_id": 0}])
    with pytest.raises(DataError, match=r"there is no 'question_text', only 'answer'.*another task or dataset"):
        read_avqa(tmp_path)
