"""`pseudocap audit` as a user meets it: what a report says, how an audit goes on, and one line for each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pseudocap.cli.main import main
from pseudocap.label.audit.judgement import AuditPair, Judgement
from pseudocap.label.audit.store import AuditStore
from pseudocap.label.schema import shard_path, write_labels
from pseudocap.types import Clip, Pseudolabel

DOCS = Path(__file__).resolve().parents[2] / "docs" / "audit.md"
PAIRS = [
    AuditPair(id=f"p{k}", source="none.mp4", start=0, end=8, pseudolabel="a dog", asr="so hello") for k in range(8)
]
LABEL = Pseudolabel(
    clip=Clip(source="film.mp4", start=0, end=8),
    captions=("a dog runs",),
    log_probs=(),
    confidence=None,
    frame_times=(),
    teacher="a test",
    revision=None,
    settings="{}",
    seed=0,
)


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of labels, in the current one, whose film is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").mkdir()
    write_labels(shard_path(tmp_path / "labels", 0), [LABEL], root=str(tmp_path))
    (tmp_path / "caption.json").write_text(json.dumps({"film": {"start": [1.0], "end": [2.0], "text": ["hello"]}}))
    return tmp_path / "labels"


@pytest.fixture
def judged(labels: Path) -> Path:
    store = AuditStore.create(labels / "audit.sqlite", seed=4, pairs=PAIRS)
    for number, pair in enumerate(PAIRS[:6]):
        answer = Judgement(
            rater="anna",
            pair=pair.id,
            better="pseudolabel" if number < 3 else "asr",
            pseudolabel="correct",
            asr="intro",
            left="asr",
        )
        store.put(answer)
        store.put(replace(answer, rater="bert", better="tie" if number == 5 else answer.better))
    return labels


def commands_of_docs() -> list[list[list[str]]]:
    """The blocks of commands, word by word, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    return [[line.split("#")[0].split() for line in block.splitlines()] for block in blocks]


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["audit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_a_report_says_how_much_was_judged_then_shares_with_intervals_then_agreement(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "labels", "--report"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == (
        "6 of 8 clips judged (anna 6, bert 6; seed 4); 45 % of the preferences are for the left side"
    )
    (correct,) = {line for line in out.splitlines() if "pseudolabel is correct" in line}
    assert [cell.strip() for cell in correct.split("│")[2:-1]] == ["100.0", "61.0 to 100.0", "88"]
    for title in ("all raters", "anna", "bert"):
        assert any(line.strip() == title for line in out.splitlines())
    assert "anna and bert on better: 6 clips, agreed on 83 %, Cohen's kappa 0.71" in out
    assert "anna and bert on asr: 6 clips, agreed on 100 %, Cohen's kappa undefined" in out


def test_a_report_as_json_and_as_a_page(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "labels", "--report", "--json", "--html", "report.html"]) == 0
    report = json.loads(capsys.readouterr().out)
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures["pseudolabel_better"]["share"] == 50
    assert figures["asr_intro"]["papers"] == 13
    assert set(report["by_rater"]) == {"anna", "bert"}
    assert "Audit of 6 clips" in Path("report.html").read_text()


def test_a_users_mistake_is_one_line(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--asr is missing" in failed(capsys, "labels")
    assert "begin with pseudocap audit" in failed(capsys, "labels", "--report")
    assert "give --report with it" in failed(capsys, "labels", "--json")
    assert "there is no such folder" in failed(capsys, "nowhere", "--asr", "caption.json")
    assert "nowhere.json" in failed(capsys, "labels", "--asr", "nowhere.json")
    assert "--n is 0" in failed(capsys, "labels", "--asr", "caption.json", "--n", "0")
    assert "say where the videos lie (--videos)" in failed(capsys, "labels", "--asr", "caption.json")
    for same in ("labels", "labels/", "labels/000000.parquet", "../" + Path.cwd().name + "/labels"):
        assert "are the labels that are judged" in failed(capsys, "labels", "--asr", same)
    assert not (labels / "audit.sqlite").exists()


def test_an_audit_that_is_gone_on_with_takes_no_other_draw(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed is about drawing clips" in failed(capsys, "labels", "--seed", "0")
    assert "port is 70000" in failed(capsys, "labels", "--port", "70000")
    assert "rater is" in failed(capsys, "labels", "--rater", "x" * 65)


def test_the_commands_and_the_python_of_the_docs_work(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _, verb, *arguments in commands_of_docs()[1]:
        if "--report" in arguments:
            assert main([verb, *arguments]) == 0
        else:  # it would serve
            assert main([verb, *arguments, "--port", "-1"]) == 2
            expected = "--videos" if "--asr" in arguments else "port is -1"  # the film of the labels is not there
            assert expected in capsys.readouterr().err
    capsys.readouterr()
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    exec(compile(code, "audit.md", "exec"), {})
    assert "anna pseudolabel 3" in capsys.readouterr().out


@pytest.mark.slow
def test_the_docs_way_to_look_at_it_now_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write, label, audit = (arguments for _, *arguments in commands_of_docs()[0])
    assert (main(write), main(label)) == (0, 0)
    capsys.readouterr()
    assert "port is -1" in failed(capsys, *audit[1:], "--port", "-1")
    assert len(AuditStore.open("toylabels/audit.sqlite").pairs) == 20


def test_the_page_is_loaded_without_torch() -> None:
    code = (
        "import sys; import pseudocap.label.audit.server, pseudocap.label.audit.report_page\n"
        "print({'torch', 'av', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
