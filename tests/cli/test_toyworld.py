"""`pseudocap toyworld` as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pseudocap.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def test_write_makes_a_corpus_that_data_verify_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = tmp_path / "world"
    options = ["--corpus", "own", "--size", "32", "--workers", "1"]
    assert main(["toyworld", "write", str(world), *options, "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["corpora"]["own"]["films"] == {"test": 4}
    assert (
        main(["data", "verify", "own", "--annotations", str(world / "own" / "captions.jsonl"), "--workers", "1"]) == 0
    )
    assert main(["toyworld", "write", str(world), *options]) == 0
    assert "captions in a file of your own" in " ".join(capsys.readouterr().out.split())


def test_show_writes_a_contact_sheet_and_a_gif_and_tells_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toyworld", "show", "7", "--out", str(tmp_path), "--size", "32", "--languages", "es,de"]) == 0
    printed = capsys.readouterr().out
    assert "Spanish:\n  un coche marrón tiembla y luego salta arriba y abajo\n" in printed
    assert "German:\n  ein braunes Auto wackelt und springt dann auf und ab\n" in printed
    for heading in ("scene:", "the plain truth:", "references:", "transcript:", "sounds:", "contact sheet:", "GIF:"):
        assert heading in printed
    (sheet,), (gif,) = tmp_path.glob("*.png"), tmp_path.glob("*.gif")
    assert Image.open(sheet).width > 6 * 32
    assert Image.open(gif).n_frames > 20
    assert main(["toyworld", "show", "7", "--out", str(tmp_path), "--size", "32", "--corpus", "clips", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["references"]) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "seven"], "show takes the seed of a world"),
        (["show", "7", "--film", "-1"], "--film must be at least 0, not -1"),
        (["show", "7", "--size", "31"], "--size is 31"),
        (["show", "7", "--corpus", "own", "--corpus", "msvd"], "one --corpus, not 2"),
        (["write", ".", "--size", "32"], "holds other things than a toy world"),
        (["write", "world", "--workers", "0"], "workers is 0"),
        (["show", "7", "--languages", "fr"], "no language 'fr'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["toyworld", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_the_verbs_corpora_are_those_of_the_world() -> None:
    from pseudocap.cli.toyworld import CORPORA
    from pseudocap.toyworld.corpora import CORPORA as RECIPES

    assert tuple(RECIPES) == CORPORA


def test_the_world_is_written_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pseudocap.toyworld.write import write_world; "
        f"write_world({str(tmp_path / 'w')!r}, corpora=['own'], size=32, workers=1); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "False"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "toyworld.md").read_text(), flags=re.DOTALL)


def test_the_python_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "docs/toyworld.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) >= 4
    for line in lines:
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
