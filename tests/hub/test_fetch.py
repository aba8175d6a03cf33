"""A checkpoint by its name: directories, rows of a registry, addresses; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
import yaml

from pseudocap import PseudoCap, list_checkpoints
from pseudocap.errors import CheckpointError
from pseudocap.files.reading import sha256_of
from pseudocap.hub.fetch import NEEDED, Access, fetch, is_captioner
from pseudocap.hub.manifest import all_rows

ROW: dict[str, Any] = {
    "name": "mine",
    "regime": "mixed",
    "decoder": {"source": "d"},
    "encoder": {"source": "e"},
    "weights": {"source": "w", "sha256": "0" * 64},
    "preprocess": {"size": 64},
    "config": "c",
    "scores": [],
    "license": "Apache-2.0",
    "made_by": {"command": "pseudocap train mixed", "seed": 0},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))


@pytest.fixture
def checkpoint(model: PseudoCap, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "zoo" / "weights")
    return tmp_path / "zoo" / "weights"


def registry(folder: Path, checkpoint: Path, **changes: object) -> Path:
    weights = {"source": "weights", "sha256": sha256_of(checkpoint / "adapter_model.safetensors")}
    row = {**ROW, "weights": weights, **changes}
    (folder / "checkpoints.yaml").write_text(yaml.safe_dump({"checkpoints": [row]}))
    return folder / "checkpoints.yaml"


def put(folder: Path, address: str) -> str:
    """The files of a folder at an address of fsspec's memory filesystem."""
    store = fsspec.filesystem("memory")
    for path in folder.iterdir():
        if path.is_file():
            store.pipe(f"{address}/{path.name}", path.read_bytes())
    return address


def test_a_rows_paths_are_relative_to_its_registry(
    checkpoint: Path, model: PseudoCap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = registry(tmp_path / "zoo", checkpoint)
    monkeypatch.chdir(tmp_path)
    loaded = PseudoCap.from_pretrained("mine", checkpoints="zoo/checkpoints.yaml", device="cpu")
    assert loaded.config == model.config
    assert loaded.origin.row.name == "mine"
    monkeypatch.setenv("PSEUDOCAP_CHECKPOINTS", str(mine))
    assert PseudoCap.from_pretrained("mine", device="cpu").config == model.config
    assert "mine" in {row["name"] for row in list_checkpoints()}
    with pytest.raises(CheckpointError, match=r"mien is no directory here \(did you mean 'mine'\?\)"):
        PseudoCap.from_pretrained("mien")


def test_other_weights_than_a_row_names_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    mine = registry(tmp_path / "zoo", checkpoint)
    weights = checkpoint / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="these are other weights, and they are not used"):
        PseudoCap.from_pretrained("mine", checkpoints=mine)


def test_a_row_that_replaces_a_shipped_one_wins_and_says_so(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = registry(tmp_path, checkpoint, license="shipped")
    monkeypatch.setattr("pseudocap.hub.manifest.find_manifest", lambda: shipped)
    mine = registry(tmp_path / "zoo", checkpoint, license="mine")
    row = all_rows(mine)["mine"]
    assert row.values["license"] == "mine"
    assert row.replaces_shipped
    assert not row.shipped
    assert all_rows()["mine"].shipped


def test_a_directory_goes_before_a_row(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = registry(tmp_path / "zoo", checkpoint)
    monkeypatch.chdir(tmp_path)
    checkpoint.rename(tmp_path / "mine")
    assert fetch("mine", checkpoints=mine).folder == Path("mine")


def test_an_address_is_fetched_once_and_again_when_it_changed(model: PseudoCap, checkpoint: Path) -> None:
    (checkpoint / "optimiser.bin").write_bytes(b"not needed")
    address = put(checkpoint, "memory://once/checkpoint")
    folder = fetch(address).folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(NEEDED)
    assert PseudoCap.from_pretrained(address, device="cpu").config == model.config
    stamp = folder.stat().st_mtime_ns
    assert fetch(f"{address}/").folder == folder
    assert folder.stat().st_mtime_ns == stamp

    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.requires_grad).add_(1)
    model.save_pretrained(checkpoint)
    put(checkpoint, "memory://once/checkpoint")
    assert fetch(address).folder != folder


def test_without_network_an_address_comes_from_the_cache_or_is_told(checkpoint: Path) -> None:
    address = put(checkpoint, "memory://offline/checkpoint")
    with pytest.raises(CheckpointError, match=r"is not in the cache .* and local_files_only forbids to fetch it"):
        fetch(address, access=Access(local_files_only=True))
    folder = fetch(address).folder
    fsspec.filesystem("memory").rm("/offline", recursive=True)
    assert fetch(address, access=Access(local_files_only=True)).folder == folder
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        fetch(address)


def test_a_registry_at_an_address_names_what_lies_beside_it(model: PseudoCap, checkpoint: Path, tmp_path: Path) -> None:
    put(checkpoint, "memory://team/zoo/weights")
    registry(tmp_path / "zoo", checkpoint)
    put(tmp_path / "zoo", "memory://team/zoo")
    address = "memory://team/zoo/checkpoints.yaml"
    assert PseudoCap.from_pretrained("mine", checkpoints=address, device="cpu").config == model.config
    offline = {"checkpoints": address, "local_files_only": True, "device": "cpu"}
    assert PseudoCap.from_pretrained("mine", **offline).config == model.config


@pytest.mark.parametrize("source", ["../elsewhere", "a/../../b", "/etc", "~/x", "file:///etc", "local:///etc"])
def test_a_registry_from_elsewhere_names_nothing_on_this_machine(checkpoint: Path, tmp_path: Path, source: str) -> None:
    registry(tmp_path / "zoo", checkpoint, weights={"source": source, "sha256": "0" * 64})
    put(tmp_path / "zoo", "memory://foreign")
    with pytest.raises(CheckpointError, match="leaves the registry's own folder"):
        fetch("mine", checkpoints="memory://foreign/checkpoints.yaml")


@pytest.mark.parametrize(
    ("name", "revision", "told"),
    [
        ("memory://x/y", "main", "is an address and has no revision 'main'"),
        ("nosuch://x/y", None, "cannot be reached"),
        ("http://127.0.0.1:1/x", None, r"http://127.0.0.1:1/x/config.json could not be reached: .*connect"),
        ("memory://x::memory://y", None, "chains two addresses"),
        ("owner/repo@", None, "names no revision after the @"),
        ("owner/repo@main", "v1", "name two revisions"),
        ("owner/repo@../x", None, "is no revision of owner/repo"),
        ("hf://owner/repo/folder", None, "neither the name of a repo"),
    ],
)
def test_a_name_that_cannot_be_is_told(name: str, revision: str | None, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        fetch(name, revision=revision)


def test_a_directory_and_a_row_have_the_revision_they_have(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a directory and has no revision 'v1'"):
        fetch(checkpoint, revision="v1")
    mine = registry(tmp_path / "zoo", checkpoint)
    with pytest.raises(CheckpointError, match="for another revision name the repo itself"):
        fetch("mine", revision="v1", checkpoints=mine)
    with pytest.raises(CheckpointError, match="for another revision name the repo itself"):
        fetch("mine@v1", checkpoints=mine)


def test_the_folder_of_a_run_is_that_of_its_captioner(model: PseudoCap, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "run" / "captioner")
    assert fetch(tmp_path / "run").folder == tmp_path / "run" / "captioner"
    assert is_captioner(str(tmp_path / "run"))
    model.save_pretrained(tmp_path / "run")
    assert fetch(tmp_path / "run").folder == tmp_path / "run"
