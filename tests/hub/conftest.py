"""A checkpoint to publish, and one on a hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.hub_server import Hub

from pseudocap import PseudoCap
from pseudocap.zoo.tiny import write_opt, write_timesformer


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="session")
def hub_backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub_backbones")
    write_opt(folder / "opt")
    write_timesformer(folder / "timesformer")
    return folder


@pytest.fixture(scope="session")
def saved(hub_backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint between `team/opt` and `team/timesformer`, which `on_hub` puts on a hub."""
    model = PseudoCap.from_backbones(decoder=hub_backbones / "opt", encoder=hub_backbones / "timesformer", device="cpu")
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    model.save_pretrained(folder, results={"scores": {"CIDEr-D": 12.5}, "videos": 7})
    return folder


@pytest.fixture
def on_hub(hub: Hub, hub_backbones: Path) -> Hub:
    """The hub with both backbones in it."""
    for name in ("opt", "timesformer"):
        hub.put(f"team/{name}", folder_bytes(hub_backbones / name))
    return hub


assert os.environ.get("HF_HUB_OFFLINE", "0") == "0", "the tests of the hub ask a hub on this machine"
