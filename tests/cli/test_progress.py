"""A bar on stderr leaves standard output alone; without a terminal there are lines, and of what is short none."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pseudocap.cli import progress
from pseudocap.cli.progress import counted, progress_of, stages_of

CODE = """
from pseudocap.cli.progress import counted, progress_of, stages_of
with progress_of("captioning", "files") as progress:
    print("a dog runs")
    progress(1, 1, "2.5 clips/s")
with stages_of("demo") as stages:
    stages.draw("films", 1, 1)
    print("a cat sleeps")
    stages.log("[almost] done")
assert list(counted("ab", "reading")) == ["a", "b"]
"""


def chunks_of(terminal: int) -> Iterator[str]:
    """Read what a terminal was sent, which comes in pieces, until an error says that nobody writes to it."""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            yield chunk.decode(errors="replace")


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_printed_beside_a_bar_goes_where_the_user_sends_it(terminal: bool, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
        subprocess.run(
            [sys.executable, "-c", CODE], stdout=out, stderr=theirs if terminal else err, check=True, env=environment
        )
    os.close(theirs)
    assert (tmp_path / "out").read_text() == "a dog runs\na cat sleeps\n"
    if not terminal:
        printed = (tmp_path / "err").read_text()
        assert printed == "demo: films: 1 of 1\ndemo: [almost] done\n"
    else:
        drawn = "".join(chunks_of(ours))
        assert "files, 2.5 clips/s" in drawn
        assert "demo: films" in drawn
        assert "demo: [almost] done" in drawn
        assert "reading" in drawn
    os.close(ours)


def test_stages_are_named_as_they_begin_and_then_by_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    with stages_of("build") as stages:
        stages.draw("world", 0, 0)
        for done in range(1, 101):
            stages.draw("eye", done, 100)
        stages.draw("eye", 0, 40)  # a part of another length
    printed = capsys.readouterr().err.splitlines()
    assert printed[:3] == ["build: world: begins", "build: eye: 1 of 100", "build: eye: 10 of 100"]
    assert printed[3:-1] == [f"build: eye: {tenth}0 of 100" for tenth in range(2, 11)]
    assert printed[-1] == "build: eye: 0 of 40"


def test_what_is_over_soon_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_of("packing", "clips") as report:
        for done in range(1, 11):
            report(done, 10)
    assert list(counted("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass on the clock that the lines read."""
    now = [100.0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return passes


def test_after_some_patience_each_tenth_has_a_line_with_its_note(
    later: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with stages_of("labelling", "videos", patience=5) as stages:
        stages.draw("", 1, 4, "1 clip/s")
        later(4.9)
        stages.draw("", 1, 4, "1 clip/s")
        later(0.2)
        for done in (2, 2, 4):
            stages.draw("", done, 4, f"{done} clips/s")
    assert capsys.readouterr().err.splitlines() == [
        "labelling: 2 of 4 videos, 2 clips/s",
        "labelling: 4 of 4 videos, 4 clips/s",
    ]


def test_what_nobody_knows_the_number_of_is_counted_now_and_then(
    later: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with stages_of("reading", patience=5) as stages:
        for done in range(1, 7):
            stages.draw("", done, 0)
            later(6)
    assert capsys.readouterr().err.splitlines() == ["reading: 2", "reading: 4", "reading: 6"]  # after 6, 18 and 30 s
