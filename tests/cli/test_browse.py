"""`pseudocap browse` as a user meets it: what it prints, what it writes, and one line for each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.audits import label
from helpers.pages import page_of

from pseudocap.cli.main import main
from pseudocap.label.schema import read_labels, shard_path, write_labels

DOCS = Path(__file__).resolve().parents[2] / "docs" / "browse.md"
ROW = {"video": "film.mp4", "caption": "a dog runs"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Captions and labels, in the current folder, whose film is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captions.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "caption": "a cat"}) + "\n")
    (tmp_path / "labels").mkdir()
    write_labels(shard_path(tmp_path / "labels", 0), [label("film.mp4", 0.0, 8.0, "a dog runs")], root=str(tmp_path))
    return tmp_path


def edit(path: Path, row: str, *, decision: str = "rejected") -> None:
    """One entry, as the page's server writes it."""
    entry = {"format": 1, "row": row, "version": 1, "who": "anna", "when": "2026-01-01T00:00:00.000Z", **ROW}
    before, after = ({"caption": "a dog runs", "decision": each} for each in ("", decision))
    path.write_text(json.dumps({**entry, "before": before, "after": after}) + "\n")


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["browse", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def commands_of_docs() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    return [line.split("#")[0].split()[1:] for block in blocks for line in block.splitlines()]


def test_a_mistake_is_one_line_and_leaves_nothing_behind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    for words, complaint in (
        ("nowhere", "there is no such file or folder"),
        ("captions.jsonl --accepted", "give --export with it"),
        ("captions.jsonl --export out", "must end in .jsonl"),
        ("captions.jsonl --export captions.jsonl", "are the captions themselves"),
        ("labels/000000.parquet --export out", "name the whole folder"),
        ("labels --export captions.jsonl/x.jsonl", "captions.jsonl: "),
        ("labels --export out", "holds no labelling run (plan.json)"),
        ("captions.jsonl --out captions.jsonl", "--out captions.jsonl is a file"),
        ("captions.jsonl --videos nowhere", "--videos"),
        ("captions.jsonl --port 70000", "port is 70000"),
        ("captions.jsonl --editor \t", "editor is"),
        ("captions.jsonl --port -1 --exprot x", "did you mean '--export'"),
    ):
        if "exprot" in words:
            with pytest.raises(SystemExit):
                main(["browse", *words.split()])
            assert complaint in capsys.readouterr().err
        else:
            assert complaint in failed(capsys, *words.split(" ")), words
    assert sorted(folder.rglob("*")) == before


def test_changes_lie_beside_what_they_are_of_unless_a_folder_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, edits in (
        ("labels", "labels/edits.jsonl"),
        ("labels --out mine", "mine/edits.jsonl"),
        ("captions.jsonl", "captions.edits.jsonl"),
        ("labels/000000.parquet", "labels/000000.edits.jsonl"),
    ):
        (folder / edits).parent.mkdir(exist_ok=True)
        edit(folder / edits, "of no row here")
        assert main(["browse", *words.split(), "--export", "out.jsonl"]) == 0
        assert f"{edits}: 1 of its changes are of rows that {words.split()[0]} does not have" in capsys.readouterr().err


def test_what_is_kept_is_exported_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pseudocap.browse.rows import read_browse_rows

    first, _ = read_browse_rows(folder / "captions.jsonl")
    edit(folder / "captions.edits.jsonl", first.id)
    assert main(["browse", "captions.jsonl", "--export", "checked.jsonl"]) == 0
    assert capsys.readouterr().out == "1 captions of 2 rows in checked.jsonl\n"
    with (folder / "captions.jsonl").open("a") as captions:
        captions.write('{"video": "broken.mp4", "error": "the file is empty"}\n')
    assert main(["browse", "captions.jsonl", "--export", "checked.jsonl"]) == 0
    assert capsys.readouterr().out == "1 captions of 2 rows and 1 file that failed in checked.jsonl\n"
    assert json.loads(Path("checked.jsonl").read_text()) == {"version": 1, **ROW, "caption": "a cat"}
    assert main(["browse", "captions.jsonl", "--export", "accepted.jsonl", "--accepted"]) == 0
    assert Path("accepted.jsonl").read_text() == ""


@pytest.mark.slow
def test_the_docs_way_to_look_at_it_now_works_and_prints_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write, teach, browse, *exports = commands_of_docs()[:5]
    assert (main(write), main(teach)) == (0, 0)
    with page_of(*browse, "--port", "0", last_words="0 rows are changed, in toylabels/edits.jsonl"):
        pass
    edit(tmp_path / "toylabels" / "edits.jsonl", "of no row here")
    capsys.readouterr()
    assert [main(words) for words in exports] == [0, 0]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert [line for line in printed if line not in DOCS.read_text()] == []
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    exec(compile(code, "browse.md", "exec"), {})
    assert capsys.readouterr().out == "2026-01-01T00:00:00.000Z anna film.mp4 a dog runs -> a dog runs rejected\n"
    assert (tmp_path / "checked.jsonl").read_text().count("\n") == sum(each.kept for each in read_labels("checked"))


def test_the_page_is_served_without_torch() -> None:
    code = (
        "import sys; import pseudocap.browse.server\nprint({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
