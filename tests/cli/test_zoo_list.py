"""The table of `pseudocap zoo list`, and which captioner describes real video best, as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pseudocap.cli.main import main
from pseudocap.cli.zoo_list import comparisons, published_figures
from pseudocap.hub.manifest import all_rows, read_published


def cited(dataset: str, **metrics: float) -> dict[str, Any]:
    return {"dataset": dataset, "metrics": metrics, "cited": "a paper, table 1"}


def test_figures_are_ordered_and_compared_by_dataset() -> None:
    figures = published_figures(
        {
            "small": [cited("vatex", CIDEr=40.0)],
            "large": [cited("vatex", CIDEr=50.5), cited("coco", CIDEr=140.0)],
            "elsewhere": [cited("msvd", CIDEr=160.0), cited("vatex", CIDEr=90.0)],
            "asked": [cited("vatex", accuracy=99.0)],
        }
    )
    assert {dataset: list(of) for dataset, of in figures.items()} == {
        "msvd": ["elsewhere"],
        "vatex": ["elsewhere", "large", "small"],
    }
    assert list(comparisons(figures, ["small", "large", "asked"])) == [
        "best on vatex of those that load here: large 50.5, 10.5 above small, 39.5 below elsewhere"
    ]
    assert list(comparisons(figures, ["elsewhere"])) == [
        "best on msvd of those that load here: elsewhere 160.0",
        "best on vatex of those that load here: elsewhere 90.0",
    ]


def test_the_list_fits_eighty_columns_and_gives_each_captioner_of_others_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PSEUDOCAP_CHECKPOINTS", raising=False)
    assert main(["zoo", "list"]) == 0
    printed = capsys.readouterr().out
    lines = [line.rstrip() for line in printed.splitlines()]
    assert max(map(len, lines)) <= 80
    for row in (row for row in all_rows().values() if row.external):
        found = [line for line in lines if line.startswith(f"{row.name} ") and row.values["license"] in line]
        assert len(found) == 1, row.name
        assert f"{row.values['weights']['gigabytes']:.1f} GB" in found[0]
        first = row.values["scores"][0]
        assert found[0].endswith(" ".join(map(str, next(iter(first["metrics"].items()))))), "as it is published"
    for entry in read_published():
        assert any(line.startswith(entry["name"]) and line.endswith(" no") for line in lines)
    assert "best on vatex of those that load here: git-large-vatex 72.5" in printed
    page = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")
    comparison = page.partition("## Captioners of other projects")[2].split("```\n")[1]
    assert comparison in "\n".join(lines) + "\n"
    assert "package" not in printed, "where all rows are shipped, nothing is said of where they are"


def test_a_captioner_of_others_in_a_registry_of_ones_own_is_listed_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"name": "mine", "regime": "external", "weights": {"source": "hf://team/mine"}, "license": "MIT"}
    scores = [cited("coco", CIDEr=100.0), cited("vatex", CIDEr=80.25)]
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump({"checkpoints": [{**row, "scores": scores}]}))
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["zoo", "list", "--checkpoints", str(tmp_path / "rows.yaml")]) == 0
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("mine ") and "MIT" in line)
    assert line.split() == ["mine", "MIT", "vatex", "CIDEr", "80.25", str(tmp_path / "rows.yaml")]
    assert "mine 80.2, 7.8 above git-large-vatex, 15.5 below VALOR-L" in " ".join(printed.split())
