"""`pseudocap zoo list` and `show`: the rows that have a name here, shipped and of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pseudocap.cli.main import main

ROW: dict[str, Any] = {
    "name": "ours",
    "regime": "mixed",
    "decoder": {"source": "team/opt"},
    "encoder": {"source": "team/timesformer"},
    "weights": {"source": "captioners/ours", "sha256": "0" * 64},
    "preprocess": {"size": 64},
    "config": "c",
    "scores": [{"dataset": "msrvtt", "split": "test", "metrics": {"CIDEr-D": 54.32, "BLEU-4": {"value": 41.0}}}],
    "license": "mit",
    "made_by": {},
}


@pytest.fixture
def registry(tmp_path: Path) -> str:
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump({"checkpoints": [ROW]}, sort_keys=False))
    return str(tmp_path / "rows.yaml")


def test_list_gives_the_rows_of_a_registry_beside_the_shipped(
    registry: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["zoo", "list", "--json"]) == 0
    shipped = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["zoo", "list", "--checkpoints", registry, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == [*shipped, "ours"]
    assert (rows["ours"]["shipped"], rows["ours"]["registry"]) == (False, registry)
    monkeypatch.setenv("PSEUDOCAP_CHECKPOINTS", registry)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["zoo", "list"]) == 0
    table = capsys.readouterr().out
    assert "msrvtt test:" in table
    assert "CIDEr-D 54.3" in table


def test_rows_of_other_projects_are_listed_with_citations_and_not_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["zoo", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("blip-large"))
    assert line.split() == ["blip-large", "pictures", "1.9", "GB", "BSD-3-Clause", "coco", "CIDEr", "136.7"]
    assert main(["zoo", "show", "blip-large"]) == 0
    printed = capsys.readouterr().out
    assert "cited: Li et al., BLIP" in printed
    assert "to use it: pseudocap.load('blip-large')" in printed
    assert main(["zoo", "verify", "blip-large", "git-base-vatex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": skipped: hf://")[0] for line in lines] == ["blip-large", "git-base-vatex"]
    assert main(["pull", "blip-large", "--to", "nowhere"]) == 2
    assert "blip-large is no PseudoCap but hf://Salesforce/blip-image-captioning-large" in capsys.readouterr().err


def test_show_tells_all_of_a_row_and_where_it_lies(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "show", "ours", "--checkpoints", registry]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed.partition("\n\nin ")[0]) == ROW
    assert str(tmp_path / "captioners" / "ours") in printed or "hf://captioners/ours" in printed
    assert main(["zoo", "show", "ours", "--checkpoints", registry, "--json"]) == 0
    assert json.loads(capsys.readouterr().out).items() >= ROW.items()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", "our"], "no row is named 'our' (did you mean 'ours'?)"),
        (["list", "--checkpoints", "nowhere.yaml"], "nowhere.yaml: there is no such manifest"),
        (["list", "--checkpoints", "."], "is a directory; name the file of rows in it"),
        (["list", "--checkpoints", "nosuch://x/y.yaml"], "cannot be reached"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], text: str, registry: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSEUDOCAP_CHECKPOINTS", registry)
    assert main(["zoo", *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_a_row_in_place_of_a_shipped_one_is_told(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped.yaml"
    shipped.write_text(yaml.safe_dump({"checkpoints": [{**ROW, "license": "other"}]}))
    monkeypatch.setattr("pseudocap.hub.manifest.find_manifest", lambda: shipped)
    assert main(["zoo", "show", "ours", "--checkpoints", registry]) == 0
    printed = capsys.readouterr().out
    assert "license: mit" in printed
    assert "in place of the shipped row" in printed


@pytest.mark.parametrize("arguments", [["zoo", "list"], ["push", "x", "a/b", "--dry-run"], ["pull", "nowhere"]])
def test_what_needs_no_network_of_neurons_loads_no_torch(arguments: list[str]) -> None:
    code = f"import sys; from pseudocap.cli.main import main; main({arguments}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_verify_looks_at_every_row_whatever_is_wrong_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text("{}")
    (tmp_path / "there" / "adapter_model.safetensors").write_bytes(b"weights")
    rows = [
        {**ROW, "name": "gone", "weights": {"source": "nowhere", "sha256": "0" * 64}},
        {**ROW, "name": "wrong", "weights": {"source": "there", "sha256": "0" * 64}},
    ]
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump({"checkpoints": rows}))
    assert main(["zoo", "verify", "gone", "wrong", "--no-scores", "--checkpoints", str(tmp_path / "rows.yaml")]) == 1
    said = capsys.readouterr().out
    assert "gone: " in said
    assert "wrong: " in said
    assert "sha256" in said.partition("wrong: ")[2]


def test_pulling_a_folder_that_is_no_checkpoint_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "world").mkdir()
    assert main(["pull", str(tmp_path / "world"), "--to", str(tmp_path / "mine")]) == 2
    assert "is no PseudoCap checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_the_folder_of_a_run_says_where_its_captioner_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "config.json").write_text("{}")
    assert main(["pull", str(tmp_path / "run"), "--to", str(tmp_path / "mine")]) == 2
    assert f"did you mean {tmp_path / 'run' / 'best'}?" in capsys.readouterr().err
