"""`pseudocap ask` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.shaded_films import write_film
from helpers.torch_free import TorchFree

from pseudocap import PseudoCap
from pseudocap.cli.ask import sorted_words
from pseudocap.cli.main import main
from pseudocap.data.corpora.questions import read_questions
from pseudocap.errors import InputError

ASKED = ["who runs?", "what color is it?"]


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    (tmp_path / "films").mkdir()
    return [write_film(tmp_path / "films" / f"{name}.mp4", seconds=2) for name in "ab"]


@pytest.fixture
def captioner(model: PseudoCap, tmp_path: Path) -> list[str]:
    model.save_pretrained(tmp_path / "captioner")
    return ["--checkpoint", str(tmp_path / "captioner"), "--device", "cpu", "--max-new-tokens", "6"]


def test_one_question_about_one_file_prints_its_answer(
    films: list[Path], captioner: list[str], model: PseudoCap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(films[0]), ASKED[0], *captioner]) == 0
    assert capsys.readouterr().out == f"{model.ask(films[0], ASKED[0], max_new_tokens=6)}\n"


def test_each_question_is_asked_about_each_file_and_a_broken_one_stops_none(
    films: list[Path], captioner: list[str], model: PseudoCap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = films[0].with_name("aa.mp4")
    broken.write_text("no film")
    expected = [
        {"video": str(film), "question": question, "answer": answer}
        for film in films
        for question, answer in zip(ASKED, model.ask(film, ASKED, max_new_tokens=6), strict=True)
    ]
    for form in ("json", "jsonl"):
        assert main(["ask", str(films[0].parent), *ASKED, *captioner, "--format", form]) == 1
        out, errors = capsys.readouterr()
        found = json.loads(out) if form == "json" else [json.loads(line) for line in out.splitlines()]
        assert found == expected
        assert "failed: " in errors
        assert "aa.mp4" in errors
    answered = tmp_path / "answers.jsonl"
    answered.write_text(out)
    assert [row.question for row in read_questions(answered).rows] == [*ASKED, *ASKED]
    assert main(["ask", *map(str, films), *ASKED, *captioner]) == 0
    table = capsys.readouterr().out
    assert table.count("who runs?") == 2


def test_words_that_name_files_are_no_questions(films: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films[0].parent)
    assert sorted_words(["a.mp4", "who runs?", "b.mp4", "what is it"]) == (
        [Path("a.mp4"), Path("b.mp4")],
        ["who runs?", "what is it"],
    )
    assert sorted_words(["*.mp4", "who?"])[0] == [Path("a.mp4"), Path("b.mp4")]
    for question in (f"what is the man doing while {'it rains and ' * 30}it snows", "~what runs?"):  # no file's names
        assert sorted_words(["a.mp4", question]) == ([Path("a.mp4")], [question])
    (films[0].parent / "heard").mkdir()
    (films[0].parent / "heard" / "bark.wav").write_bytes(b"")
    assert sorted_words(["heard", "who barks?"], sounds=True)[0] == [Path("heard/bark.wav")]
    with pytest.raises(InputError, match=r"gone\.mp4: there is no such file"):
        sorted_words(["gone.mp4", "who?"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{film}"], "there is no question among these words"),
        (["who runs?"], "there is no file among these words"),
        (["{film}", "?!"], "the question '?!' has no words"),
        (["{film}", "who?", ""], "the question '' has no words"),
        (["{film}", "who?"], "--checkpoint is missing: name a captioner that has learned to answer"),
        (["{film}", "who?", "--checkpoint", "toy-mxed"], "toy-mxed is no directory here"),
        (["{film}", "who?", "--checkpoint", "toy-mixed", "--modalities", "a"], "--modalities a: toy-mixed does not"),
        (["{film}", "who?", "--checkpoint", "toy-mixed", "--beams", "0"], "--beams must be"),
    ],
)
def test_a_mistake_is_one_line_without_torch(
    words: list[str], message: str, torch_free: TorchFree, films: list[Path], tmp_path: Path
) -> None:
    answer = torch_free.run(["ask", *(word.format(film=films[0]) for word in words)], tmp_path)
    assert (answer.code, answer.heavy) == (2, [])
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_answers_are_scored_by_the_questions_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        {"video": "a.mp4", "question": "Who runs?", "answer": "dog"},
        {"video": "b.mp4", "question": "who runs?", "answer": "cat"},
        {"video": "b.mp4", "question": "how many?", "answer": "two"},
    ]
    answered = [{**asked[0], "video": "films/a.mp4", "question": "who runs"}, {**asked[1], "answer": "dog"}, asked[2]]
    for name, rows in (("asked", asked), ("answered", answered), ("other", [{**asked[0], "video": "c.mp4"}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    references = f"questions:{tmp_path / 'asked.jsonl'}"
    assert main(["score", str(tmp_path / "answered.jsonl"), references, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"] == 3
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert {kind: each["accuracy"] for kind, each in found["by_kind"].items()} == {"who": 50, "how": 100}
    assert main(["score", str(tmp_path / "answered.jsonl"), references, "--bootstrap", "100"]) == 0
    assert "how" in capsys.readouterr().out
    assert (
        main(["score", str(tmp_path / "answered.jsonl"), references, "--write-scores", str(tmp_path / "s.jsonl")]) == 2
    )
    assert "--write-scores is of captions, and questions:" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "other.jsonl"), references]) == 2
    assert "answers none of the 3 questions" in capsys.readouterr().err
