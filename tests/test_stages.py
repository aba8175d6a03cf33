"""Stages: made once, made anew where what they need has changed, resumed where they were killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pseudocap.cli.main import main
from pseudocap.errors import DataError, Interrupted
from pseudocap.stages import Stage, Workshop


class Made:
    """Three stages in a row that count how often each was made."""

    def __init__(self, root: Path, main: Callable[[Sequence[str]], int] = main) -> None:
        self.shop = Workshop(root=root, main=main)
        self.counts = {"a": 0, "b": 0, "c": 0}

    def run(self, settings: int = 0, *, fail: bool = False) -> dict[str, dict[str, Any]]:
        def make(name: str) -> Callable[[Path, Callable[[int, int], None]], Mapping[str, Any]]:
            def filled(folder: Path, report: Callable[[int, int], None]) -> Mapping[str, Any]:
                self.counts[name] += 1
                (folder / "begun.txt").write_text((folder / "begun.txt").read_text() + "x" if fail else "x")
                return {"made": self.counts[name]}

            return filled

        self.shop.run(
            [
                Stage(name="a", settings={"n": 0}, make=make("a")),
                Stage(name="b", settings={"n": settings}, make=make("b"), needs=("a",)),
                Stage(name="c", settings={"n": 0}, make=make("c"), needs=("b",)),
            ]
        )
        return self.shop.reports


def test_a_second_run_makes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    stages = Made(tmp_path)
    first = json.dumps(stages.run())
    assert stages.counts == {"a": 1, "b": 1, "c": 1}
    assert json.dumps(stages.run()) == first
    assert stages.counts == {"a": 1, "b": 1, "c": 1}


def test_every_stage_is_told_as_made_now_or_before(tmp_path: Path) -> None:
    messages: list[str] = []
    stages = Made(tmp_path)
    stages.shop.log = messages.append
    stages.run()
    assert [text.partition(" in ")[0] for text in messages] == ["a: done", "b: done", "c: done"]
    messages.clear()
    stages.run(settings=1)
    assert [text.partition(" in ")[0] for text in messages] == ["a: done before", "b: done", "c: done"]


def test_other_settings_make_a_stage_anew_and_all_that_stand_on_it(tmp_path: Path) -> None:
    stages = Made(tmp_path)
    stages.run()
    (tmp_path / "b" / "old.txt").touch()
    stages.run(settings=1)
    assert stages.counts == {"a": 1, "b": 2, "c": 2}
    assert not (tmp_path / "b" / "old.txt").exists()


def test_a_stage_that_failed_finds_what_it_had_made(tmp_path: Path) -> None:
    stages = Made(tmp_path)
    with pytest.raises(FileNotFoundError):
        stages.run(fail=True)  # the stage reads what is not there yet
    assert not (tmp_path / "a" / "done.json").exists()
    (tmp_path / "a" / "half.txt").touch()
    stages.run()
    assert (tmp_path / "a" / "half.txt").exists()
    assert (tmp_path / "a" / "done.json").exists()


def test_a_verb_runs_in_the_build_s_folder_and_its_error_names_the_command(tmp_path: Path) -> None:
    shop = Workshop(root=tmp_path, main=main)
    with pytest.raises(DataError, match=r"none.json.*`pseudocap score none.json none.json` failed in "):
        shop.verb("score", "none.json", "none.json")
    (tmp_path / "captions.json").write_text('{"a": "a dog runs", "b": "a cat"}')
    (tmp_path / "refs.json").write_text('{"a": ["a dog runs"], "b": ["a cat sits"]}')
    shop.verb("score", "captions.json", "refs.json")


def test_an_interrupted_verb_interrupts_the_build(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(Interrupted) as stop:
            Workshop(root=tmp_path, main=lambda words, code=128 + number: code).verb("label")
        assert stop.value.signal == number
