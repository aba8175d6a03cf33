from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import msvd_clips, write_json

from pseudocap.data.corpora import video_qa
from pseudocap.data.corpora.video_qa import read_activitynet_qa, read_msrvtt_qa, read_msvd_qa, read_tgif_frameqa
from pseudocap.errors import DataError

PUBLISHED = {
    "MSRVTT_QUESTIONS": 243_680,
    "MSVD_QUESTIONS": 50_505,
    "ACTIVITYNET_QUESTIONS": 58_000,
    "TGIF_QUESTIONS": 53_083,
}


def asked(
    number: int, video: object, question: str = "what is a man doing?", answer: str = "sing"
) -> dict[str, object]:
    return {"answer": answer, "category_id": 1, "id": number, "question": question, "video_id": video}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PUBLISHED:
        monkeypatch.setattr(video_qa, name, {"train": 2, "val": 1, "test": 1})


def test_splits_sum_to_the_published_number_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert {name: sum(getattr(video_qa, name).values()) for name in PUBLISHED} == PUBLISHED


def test_msrvtt_qa(tmp_path: Path) -> None:
    write_json(tmp_path / "train_qa.json", [asked(0, 0), asked(1, 0, "who sings?", "man")])
    write_json(tmp_path / "val_qa.json", [asked(2, 6513)])
    write_json(tmp_path / "test_qa.json", [asked(3, "video7010") | {"kind": "action"}])
    corpus = read_msrvtt_qa(tmp_path)
    assert [(row.id, row.video, row.kind) for row in corpus.rows] == [
        ("video0#0", "video0", "what"),
        ("video0#1", "video0", "who"),
        ("video6513#2", "video6513", "what"),
        ("video7010#3", "video7010", "action"),
    ]
    assert corpus.rows[1].captions == ("man",)
    assert read_msrvtt_qa(tmp_path / "test_qa.json").splits == ("test",)


def test_the_number_of_questions_is_checked(tmp_path: Path) -> None:
    write_json(tmp_path / "train_qa.json", [asked(0, 0)])
    with pytest.raises(DataError, match="1 questions in train, and there must be 2"):
        read_msrvtt_qa(tmp_path)
    assert read_msrvtt_qa(tmp_path, allow_partial=True).mismatches[0].expected == 2


def test_a_question_appears_once(tmp_path: Path) -> None:
    write_json(tmp_path / "train_qa.json", [asked(0, 0), asked(0, 0)])
    with pytest.raises(DataError, match="'video0#0' is twice in train"):
        read_msrvtt_qa(tmp_path)


@pytest.mark.parametrize("read", [read_msrvtt_qa, read_msvd_qa])
def test_a_file_of_another_task_is_one_line(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "youtube_mapping.txt").write_text(f"{msvd_clips(1)[0]} vid0\n")
    rows = [{"video_name": "a", "question_text": "who?", "multi_choice": ["x"], "answer": 0}]
    write_json(tmp_path / "train_qa.json", rows)  # AVQA's, of the same name
    with pytest.raises(DataError, match=r"there is no 'question', only 'video_name'.*: the file is of another task"):
        read(tmp_path)


def test_msvd_qa_is_named_by_the_mapping(tmp_path: Path) -> None:
    write_json(tmp_path / "train_qa.json", [asked(0, 1), asked(1, 2)])
    with pytest.raises(DataError, match=r"put MSVD's youtube_mapping.txt or .* beside it"):
        read_msvd_qa(tmp_path)
    clips = msvd_clips(2)
    (tmp_path / "youtube_mapping.txt").write_text("".join(f"{clip} vid{n}\n" for n, clip in enumerate(clips, 1)))
    assert [row.video for row in read_msvd_qa(tmp_path).rows] == clips
    write_json(tmp_path / "train_qa.json", [asked(0, 1), asked(1, 9)])
    with pytest.raises(DataError, match=r"row 1: youtube_mapping.txt has no vid9"):
        read_msvd_qa(tmp_path)


def test_activitynet_qa_joins_questions_and_answers(tmp_path: Path) -> None:
    questions = [{"video_name": "abc", "question": "is it day?", "question_id": f"abc_{n}"} for n in range(2)]
    answers = [{"answer": "yes", "type": 3, "question_id": f"abc_{n}"} for n in (1, 0)]
    write_json(tmp_path / "train_q.json", questions)
    write_json(tmp_path / "train_a.json", answers)
    rows = read_activitynet_qa(tmp_path).rows
    assert [(row.id, row.video, row.kind, row.captions) for row in rows] == [
        ("v_abc#abc_0", "v_abc", "yes or no", ("yes",)),
        ("v_abc#abc_1", "v_abc", "yes or no", ("yes",)),
    ]
    write_json(tmp_path / "train_a.json", answers[:1])
    with pytest.raises(DataError, match=r"row 0: train_a.json has no answer to abc_0"):
        read_activitynet_qa(tmp_path)
    write_json(tmp_path / "train_a.json", [answers[0] | {"type": 9}])
    with pytest.raises(DataError, match="type is 9 and must be from 0 to 8"):
        read_activitynet_qa(tmp_path)


def test_tgif_frameqa_is_separated_by_tabs(tmp_path: Path) -> None:
    head = "gif_name\tquestion\tanswer\ttype\tvid_id\tdescription"
    lines = [
        'tumblr_a\twhat "is" the man doing , in red ?\tball\t0\tFRAMEQA1\ta man, a ball',
        "tumblr_b\twhat is the color of the bull ?\tblack\t2\tFRAMEQA2\ta bull",
    ]
    path = tmp_path / "Train_frameqa_question.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    rows = read_tgif_frameqa(tmp_path).rows
    assert [(row.id, row.kind, row.captions) for row in rows] == [
        ("tumblr_a#FRAMEQA1", "object", ("ball",)),
        ("tumblr_b#FRAMEQA2", "color", ("black",)),
    ]
    assert rows[0].question == 'what "is" the man doing , in red ?'
    path.write_text("gif_name\tquestion\ta1\ta2\tanswer\nx\twho?\tdog\tcat\t1\n")  # of the repeated actions
    with pytest.raises(DataError, match=r"there is no 'type', only .*'a1'"):
        read_tgif_frameqa(tmp_path)
