from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.corpora import write_json

from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.data.corpora.questions import read_questions, read_valor_qa
from pseudocap.errors import DataError

ROWS = [
    {"video": "a.mp4", "question": "what runs?", "answer": "dog", "split": "train", "kind": "actor"},
    {"video": "a.mp4", "question": "How many dogs?", "answer": ["two", "2"], "split": "dev"},
    {"video": "b.mp4", "question": "who sits?", "answer": "cat", "start": 1, "end": 4.5},
]


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_own_questions_are_rows_whose_captions_are_answers(tmp_path: Path) -> None:
    corpus = read_questions(write_rows(tmp_path / "asked.jsonl", *ROWS), split="train")
    first, second, third = corpus.rows
    assert (first.id, first.video, first.question, first.captions) == ("a.mp4#0", "a.mp4", "what runs?", ("dog",))
    assert (first.kind, second.kind, third.kind) == ("actor", "how", "who")
    assert (second.split, second.captions) == ("val", ("two", "2"))
    assert (third.split, third.start, third.end) == ("train", 1.0, 4.5)
    named = NamedCorpus.of(f"questions:{tmp_path / 'asked.jsonl'}")
    assert named.asks
    assert named.read(split="train").rows == corpus.rows


def test_a_folder_may_hold_tables_with_empty_cells(tmp_path: Path) -> None:
    rows = "a.mp4,what runs?,dog,,,\nb.mp4,who?,cat,1,2,\n"
    (tmp_path / "asked.csv").write_text(f"video,question,answer,start,end,kind\n{rows}")
    first, second = read_questions(tmp_path).rows
    assert (first.captions, first.start, first.kind) == (("dog",), None, "what")
    assert (second.start, second.end) == (1.0, 2.0)


def test_the_hash_of_a_corpus_knows_its_questions(tmp_path: Path) -> None:
    one = read_questions(write_rows(tmp_path / "one.jsonl", ROWS[0]))
    other = read_questions(write_rows(tmp_path / "other.jsonl", ROWS[0] | {"question": "what sits?"}))
    assert one.content_hash != other.content_hash
    assert one.split_hash("train") == other.split_hash("train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"video": "a.mp4", "caption": "a dog"},
            "there is no 'question', only 'video', 'caption': the file is of anot",
        ),
        ({"video": "a.mp4", "question": "who?"}, "there is no 'answer', only 'video', 'question'"),
        ({"video": "a.mp4", "question": "?!", "answer": "dog"}, r"the question '\?!' has no words"),
        ({"video": "a.mp4", "question": " ", "answer": "dog"}, "question is empty"),
        ({"video": "a.mp4", "question": "who?", "answer": ""}, "answer is empty"),
        ({"video": "a.mp4", "question": "who?", "answer": 2}, "answer is 2 and must be a string"),
        ({"video": "a.mp4", "question": "who?", "answer": True}, "answer is True and must be a string or a number"),
        ({"video": "", "question": "who?", "answer": "dog"}, "video is empty"),
    ],
)
def test_a_row_that_asks_nothing_is_one_line(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_questions(write_rows(tmp_path / "asked.jsonl", row))
    assert "asked.jsonl, line 1" in str(error.value)
    assert "\n" not in str(error.value)


def test_unusable_questions_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "asked.jsonl", ROWS[0], ROWS[0] | {"question": "?"})
    (mismatch,) = read_questions(path, allow_partial=True).mismatches
    assert (mismatch.what, mismatch.found) == ("unusable questions", 1)


def test_files_of_several_folders_have_a_mapper_each(tmp_path: Path) -> None:
    lists, mappers = [], []
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        lists.append(tmp_path / split / f"{split}_id.json")
        mappers.append(tmp_path / split / "txt_mapper.json")
        write_json(lists[-1], ["video0"])
        write_json(mappers[-1], {"video0": [{"question": "who?", "answer": split}]})
    corpus = read_valor_qa(lists)
    assert {row.split: row.captions for row in corpus.rows} == {"train": ("train",), "test": ("test",)}
    assert {*corpus.files} == {*lists, *mappers}


def test_the_form_of_valors_release(tmp_path: Path) -> None:
    write_json(tmp_path / "train_id.json", ["video0"])
    write_json(tmp_path / "test_id.json", ["video1"])
    document = {
        "video0": [{"question": "who?", "answer": "dog"}, {"question": "how?", "answer": ["by car", "car"]}],
        "video1": [{"question": "what?", "answer": "cat"}],
    }
    write_json(tmp_path / "txt_mapper.json", document)
    corpus = read_valor_qa(tmp_path)
    assert [(row.id, row.split, row.captions) for row in corpus.rows] == [
        ("video0#0", "train", ("dog",)),
        ("video0#1", "train", ("by car", "car")),
        ("video1#0", "test", ("cat",)),
    ]
    write_json(tmp_path / "txt_mapper.json", {"video0": ["a caption"], "video1": ["another"]})
    with pytest.raises(DataError, match="there is no 'question', only 'a caption'"):
        read_valor_qa(tmp_path)
    write_json(tmp_path / "txt_mapper.json", {"video0": [{"caption": "a dog"}]})
    with pytest.raises(DataError, match=r"there is no 'question', only 'caption'"):
        read_valor_qa(tmp_path)
