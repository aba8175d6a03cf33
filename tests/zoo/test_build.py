"""The whole journey at a size that teaches nothing: world, backbones, labels, regimes, fine-tuning, what is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.files import sources as places
from pseudocap.hub.manifest import read_manifest
from pseudocap.regimes.table import REGIMES
from pseudocap.retriever import Retriever
from pseudocap.zoo.ship import LIMIT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(smoke_zoo: Path) -> Path:
    return smoke_zoo


@pytest.fixture
def shipped(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if the build were what this package ships."""
    monkeypatch.setattr(places, "SHIPPED", built / "zoo" / "shipped")
    return built / "zoo"


def test_a_second_build_makes_nothing(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*") if path.is_file()}
    assert main(["zoo", "build", "--smoke", "--out", str(built), "--json"]) == 0
    reports: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*") if path.is_file()} == before
    assert reports["zoo"]["bytes"] < LIMIT
    for regime in REGIMES:
        assert {"as it is", "centre frame", "reversed", "shuffled", "blind"} <= reports[f"tuned-{regime}"].keys()
    assert reports["labels"]["labels"] > 0


def test_every_regime_has_a_row_before_and_after_fine_tuning(shipped: Path) -> None:
    rows = {row["name"]: row for row in read_manifest(shipped / "checkpoints.yaml")}
    captioners = {f"toy-{regime}{suffix}" for regime in REGIMES for suffix in ("", "-pretrained")}
    assert set(rows) == captioners | {"toy-search", "toy-hears", "toy-valor"}
    assert all(rows[f"toy-{regime}"]["scores"][0]["split"] == "test" for regime in REGIMES)


def test_a_retriever_learns_from_pseudolabels_and_is_compared_with_other_texts(shipped: Path, built: Path) -> None:
    words = json.loads((built / "toy-search" / "done.json").read_text())["command"].split()
    assert words[words.index("--data.videos") + 1] == "memories-films/store"
    learned = [json.loads(line) for line in (built / "memories-people" / "captions.jsonl").read_text().splitlines()]
    assert {row["split"] for row in learned} == {"train"}
    scores = json.loads((built / "scores-toy-search" / "done.json").read_text())
    assert list(scores["retrievers"]) == ["toy-search", "search-people", "search-talking", "search-asr", "chance"]
    (row,) = (row for row in read_manifest(shipped / "checkpoints.yaml") if row["name"] == "toy-search")
    assert row["scores"][0]["metrics"]["R@10"] == scores["retrievers"]["toy-search"]["text to video"]["R@10"]["value"]
    retriever = Retriever.from_pretrained("toy-search", checkpoints=shipped / "checkpoints.yaml", device="cpu")
    film = next((built / "world" / "msrvtt" / "videos").glob("*.mp4"))
    assert retriever.similarity(["a cup", "a red ball"], [film]).shape == (2, 1)


def test_a_captioner_that_hears_is_compared_with_one_that_does_not(shipped: Path, built: Path) -> None:
    scores = json.loads((built / "scores-toy-hears" / "done.json").read_text())
    assert {name: list(views) for name, views in scores["captioners"].items()} == {
        "toy-hears": ["AV", "V", "A", "blind", "deaf", "deaf and blind"],
        "sees": ["V", "blind"],
    }
    before = json.loads((built / "scores-toy-hears-msrvtt" / "done.json").read_text())
    assert {name: list(views) for name, views in before["captioners"].items()} == {
        "tuned-mixed": ["V"],
        "toy-hears-0": ["V", "AV"],
        "sees-0": ["V"],
    }
    learned = [json.loads(line) for line in (built / "world-mixed" / "captions.jsonl").read_text().splitlines()]
    tested = {row["video"] for row in map(json.loads, (built / "world-mixed" / "test.jsonl").read_text().splitlines())}
    assert {row["split"] for row in learned} == {"train", "val", "test"}, "of valor, which is scored too"
    assert tested
    assert not tested & {row["video"] for row in learned}
    (row,) = (row for row in read_manifest(shipped / "checkpoints.yaml") if row["name"] == "toy-hears")
    assert row["audio_encoder"]["source"] == "pseudocap://toy-ast"
    assert row["scores"][0]["dataset"] == "toy-valor"
    model = PseudoCap.from_pretrained("toy-hears", checkpoints=shipped / "checkpoints.yaml", device="cpu")
    film = next((built / "world-valor" / "valor" / "videos").glob("*.mp4"))
    assert model.config.axes == ("time", "space", "sound")
    assert isinstance(model.caption(film, modalities="v"), str)


def test_a_shipped_captioner_loads_by_its_row_and_captions_a_film(shipped: Path, built: Path) -> None:
    film = next((built / "world" / "msrvtt" / "videos").glob("*.mp4"))
    for name in ("toy-mixed-ext", "toy-asr-pretrained"):
        model = PseudoCap.from_pretrained(name, checkpoints=shipped / "checkpoints.yaml")
        assert isinstance(model.caption(film), str)
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_verify_believes_a_row_until_its_weights_are_others(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["--checkpoints", str(shipped / "checkpoints.yaml")]
    assert main(["zoo", "verify", "toy-mixed", "--no-scores", *rows]) == 0
    assert "toy-mixed: as it says" in capsys.readouterr().out
    text = (shipped / "checkpoints.yaml").read_text()
    wrong = shipped / "wrong.yaml"
    sha256 = next(row for row in read_manifest(shipped / "checkpoints.yaml") if row["name"] == "toy-mixed")["weights"]
    wrong.write_text(text.replace(sha256["sha256"], "0" * 64))
    assert main(["zoo", "verify", "toy-mixed", "--no-scores", "--checkpoints", str(wrong)]) != 0
