"""A hub and a checkpoint to publish. The client is the real one; only where the hub is and where its cache lies is set,
as HF_ENDPOINT and HF_HOME would be, which the client reads at import."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub_server import Hub, hub_settings
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import close_session

from pseudocap import PseudoCap
from pseudocap.zoo.tiny import write_opt, write_timesformer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        for name, value in hub_settings(server, tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        # Both libraries keep a client whose endpoint is that of its first use.
        monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        yield server
        close_session()


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
