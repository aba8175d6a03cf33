"""`pseudocap train answering` and `finetune` on questions, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.small_worlds import write_questions, write_world
from helpers.torch_free import TorchFree

from pseudocap import PseudoCap
from pseudocap.cli.main import main


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    write_questions(folder)
    return folder


@pytest.fixture
def start(build: Callable[..., PseudoCap], tmp_path: Path) -> str:
    build().save_pretrained(tmp_path / "start")
    return str(tmp_path / "start")


def training(source: str, start: str, out: Path, *more: str) -> list[str]:
    settings = {"--model.model.init_args.source": start, "--data.source": source, "--out": str(out)}
    settings |= {"--data.batch_size": "4", "--data.workers": "0", "--trainer.accelerator": "cpu"}
    settings |= {"--trainer.enable_progress_bar": "false", "--model.modality_groups": "null"}
    return ["train", "answering", "--config", "toy", *(word for pair in settings.items() for word in pair), *more]


def test_a_run_leaves_a_captioner_that_answers_and_goes_on(
    world: Path, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = f"questions:{world / 'questions.jsonl'}", tmp_path / "run"
    few = ["--data.videos", str(world), "--checkpoint_every", "2"]
    assert main(training(source, start, out, *few, "--trainer.max_steps", "2")) == 0
    assert f"2 steps; the captioner is {out / 'last'}" in capsys.readouterr().out
    assert main(training(source, start, out, *few, "--trainer.max_steps", "3", "--resume")) == 0
    results = json.loads((out / "last" / "results.json").read_text())
    assert (results["regime"], results["step"], results["started_from"]) == ("Answering", 3, None)
    assert "accuracy" in results["scores"]


def test_finetune_on_questions_counts_right_answers(
    world: Path, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["finetune", "--from", start, "--data", f"questions:{world / 'questions.jsonl'}", "--out", str(out)]
    words += ["--workers", "0", "--device", "cpu", "--batch-size", "6"]
    assert main([*words, "--max-epochs", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["captioner"] == str(out / "best")
    assert result["best"].keys() == {"accuracy", "accuracy of color", "accuracy of way"}
    assert main([*words, "--max-epochs", "2", "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "accuracy of color" in printed
    assert f"the captioner: PseudoCap.from_pretrained('{out / 'best'}')" in printed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}/captions.jsonl", "answering learns from questions; name them by one of msrvtt-qa:, "),
        ("questions:{}/absent.jsonl", "--data.source questions:{}/absent.jsonl: there is no such file or folder"),
        (
            "questions:{}/captions.jsonl",
            "there is no 'question', only 'video', 'caption', 'split': the file is of anot",
        ),
    ],
)
def test_what_asks_nothing_is_refused_in_one_line(
    source: str, message: str, world: Path, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(training(source.format(world), start, tmp_path / "run", "--data.videos", str(world))) == 2
    errors = capsys.readouterr().err
    assert message.format(world) in errors
    assert errors.count("\n") == 1


def test_captions_in_place_of_questions_are_found_without_torch(
    world: Path, torch_free: TorchFree, tmp_path: Path
) -> None:
    captions = str(world / "captions.jsonl")
    for words, message in (
        (["train", "answering", "--config", "toy", "--data.source", captions], "answering learns from questions"),
        (
            ["finetune", "--from", "toy-mixed", "--data", f"questions:{captions}", "--out", "run"],
            "there is no 'question'",
        ),
    ):
        answer = torch_free.run(words, tmp_path)
        assert (answer.code, answer.heavy) == (2, [])
        assert message in answer.err
