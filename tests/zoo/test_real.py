"""The real zoo at a size that teaches nothing, on pictures and films drawn here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.real_world import write_real_world

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.files import sources
from pseudocap.hub.manifest import read_manifest
from pseudocap.retriever import Retriever

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real_world(tmp_path_factory.mktemp("data"), films=10)


@pytest.fixture(scope="module")
def built(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    assert main(["zoo", "build", "--world", "real", "--data", str(data), "--smoke", "--out", str(root)]) == 0
    return root


def test_a_second_build_makes_nothing(built: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*") if path.is_file()}
    words = ["--data", str(data), "--smoke", "--out", str(built), "--json"]
    assert main(["zoo", "build", "--world", "real", *words]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*") if path.is_file()} == before
    assert reports["photographs"]["train"] == 6
    for name in ("real-mixed", "fine-tuned"):
        assert set(reports[f"scores-{name}"]["scores"]["clips, greedy"]) > {"CIDEr-D", "BLEU-4"}
        captions = json.loads((built / f"scores-{name}" / "clips, greedy.json").read_text())
        assert sorted(captions) == sorted(f"{number}.mp4" for number in range(10))


def test_the_parts_of_a_fine_tuning_hold_every_clip_out_once_and_learn_from_no_clip_that_they_caption(
    built: Path,
) -> None:
    folds = [
        [json.loads(line) for line in path.read_text().splitlines()] for path in built.glob("scores-fine-tuned/*.jsonl")
    ]
    assert len(folds) == 5
    assert sorted(row["video"] for rows in folds for row in rows if row["split"] == "test") == sorted(
        f"{number}.mp4" for number in range(10)
    )
    for rows in folds:
        assert [[row["split"] for row in rows].count(split) for split in ("test", "val", "train")] == [2, 2, 6]


def test_the_retriever_is_scored_beside_chance_and_captions_and_loads_by_its_row(
    built: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SHIPPED", built / "zoo" / "shipped")
    (row,) = (row for row in read_manifest(built / "zoo" / "checkpoints.yaml") if row.get("kind") == "retriever")
    scores = json.loads((built / "scores-real-search" / "done.json").read_text())["scores"]
    assert [scores[where]["videos"] for where in ("photographs", "clips")] == [3, 10]
    for where, score in zip(("photographs", "clips"), row["scores"], strict=True):
        found = scores[where]["retrievers"]
        assert list(found) == ["real-search", "captions of real-photos", "chance"]
        assert score["metrics"]["R@1"] == found["real-search"]["text to video"]["R@1"]["value"]
        assert score["metrics"]["text R@5"] == found["real-search"]["video to text"]["R@5"]["value"]
    retriever = Retriever.from_pretrained("real-search", checkpoints=built / "zoo" / "checkpoints.yaml", device="cpu")
    assert retriever.similarity(["a dog"], [data / "real_clips" / "0.mp4"]).shape == (1, 1)
    assert "- 6 training photographs of Flickr8k" in (built / "zoo/shipped/real-search/README.md").read_text()


def test_every_table_of_the_report_is_as_wide_in_each_row(built: Path) -> None:
    report = (built / "zoo" / "report.md").read_text()
    tables = [block.splitlines() for block in report.split("\n\n")]
    assert [len({row.count("|") for row in table}) for table in tables] == [1] * 6


def test_the_captioners_that_are_shipped_load_by_their_rows(
    built: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SHIPPED", built / "zoo" / "shipped")
    rows = {row["name"]: row for row in read_manifest(built / "zoo" / "checkpoints.yaml")}
    assert list(rows) == ["real-photos", "real-mixed", "real-video", "real-search"]
    del rows["real-search"]
    for name, row in rows.items():
        model = PseudoCap.from_pretrained(name, checkpoints=built / "zoo" / "checkpoints.yaml")
        assert isinstance(model.caption(data / "real_clips" / "0.mp4"), str)
        assert row["license"] == "non-commercial research and education"
        page = (built / "zoo" / "shipped" / name / "README.md").read_text()
        learned = "- 6 training photographs of Flickr8k, with up to five captions by people. Flickr8k is for non-c"
        assert (learned in page) == (name != "real-video")
        assert ("- Pseudolabels of 10 clips" in page) == (name != "real-photos")
    assert "Apache" in (built / "zoo" / "shipped" / "efficientnet-lite0" / "README.md").read_text()
