"""A retriever is published as a captioner is: one commit of its towers, which others load by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.hub_server import Hub
from helpers.retrievers import build_retriever
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.hub.publish import pack_checkpoint
from pseudocap.retriever import Retriever

NAMED = {"text": "team/opt", "encoder": "team/timesformer"}


@pytest.fixture(scope="module")
def retriever(hub_backbones: Path) -> Retriever:
    return build_retriever(hub_backbones)


@pytest.fixture(scope="module")
def towers(retriever: Retriever, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "retriever"
    retriever.save_pretrained(folder, results={"scores": {"R@1": 43.21}, "videos": 7})
    return folder


def test_a_push_is_one_commit_that_others_load(
    on_hub: Hub, retriever: Retriever, towers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for name, repo in NAMED.items() for word in (f"--{name}", repo)]
    assert main(["push", str(towers), "owner/mine", "--license", "mit", *options]) == 0
    assert "to use it: Retriever.from_pretrained('owner/mine')" in capsys.readouterr().out
    assert len(on_hub.repos["owner/mine"].commits) == 1
    card = ModelCard(on_hub.files("owner/mine")["README.md"].decode())
    assert card.data.base_model == ["team/opt", "team/timesformer"]
    assert "--retriever owner/mine" in card.text
    assert "| R@1 | 43.21 |" in card.text
    found = Retriever.from_pretrained("owner/mine", device="cpu")
    assert found.identity == retriever.identity
    torch.testing.assert_close(found.embed_text(["a dog"]), retriever.embed_text(["a dog"]))
    retriever.push_to_hub("owner/again", license="mit", **NAMED)
    assert Retriever.from_pretrained("owner/again", device="cpu").identity == found.identity


def test_neither_frozen_weights_nor_unnamed_backbones_leave_the_machine(towers: Path, tmp_path: Path) -> None:
    shutil.copytree(towers, tmp_path / "c")
    weights = tmp_path / "c" / "adapter_model.safetensors"
    save_file({**load_file(weights), "text.lm.embed_tokens.weight": torch.zeros(2)}, weights)
    with pytest.raises(CheckpointError, match=r"'text.lm.embed_tokens.weight', which is no adapter's"):
        pack_checkpoint(tmp_path / "c", "owner/mine", **NAMED)
    with pytest.raises(CheckpointError, match=r"directory of this machine.*--text OWNER/NAME --encoder OWNER/NAME"):
        pack_checkpoint(towers, "owner/mine")
    with pytest.raises(ConfigError, match="the retriever has no decoder"):
        pack_checkpoint(towers, "owner/mine", decoder="team/opt")


def test_a_captioners_repo_is_not_overwritten(hub: Hub, towers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.put("owner/captioner", {"config.json": b'{"model_type": "pseudocap"}'})
    options = [word for name, repo in NAMED.items() for word in (f"--{name}", repo)]
    assert main(["push", str(towers), "owner/captioner", *options]) == 2
    assert "holds a 'pseudocap', which a retriever must not overwrite" in capsys.readouterr().err
