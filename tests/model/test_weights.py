"""Checkpoints on disk: which tensors are refused, and in which order the files of one come to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pseudocap.errors import CheckpointError
from pseudocap.model.weights import load_exactly, write_checkpoint

SETTINGS = {"weights": "w.safetensors", "config": "config.json", "document": {"model_type": "ours"}}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_single_number_that_is_none_is_refused_by_the_name_of_its_tensor(wrong: float) -> None:
    module = nn.Linear(3, 2)
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    load_exactly(module, tensors, source="a.safetensors")
    tensors["weight"][1, 2] = wrong
    with pytest.raises(CheckpointError, match=r"a\.safetensors holds NaN, infinite or whole numbers in weight"):
        load_exactly(module, tensors, source="a.safetensors")
    load_exactly(nn.Linear(0, 0), nn.Linear(0, 0).state_dict(), source="empty")


def test_the_config_comes_last_so_that_a_killed_save_leaves_no_checkpoint_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, move = [], os.replace

    def watched(source: Path, target: Path) -> None:
        move(source, target)
        arrived.append(Path(target).name)

    monkeypatch.setattr(os, "replace", watched)
    write_checkpoint(tmp_path, tensors={"a": torch.ones(2)}, beside={"card.md": "a card"}, **SETTINGS)
    assert sorted(arrived[:2]) == ["card.md", "w.safetensors"]
    assert arrived[2:] == ["config.json"]


def test_what_stood_there_is_untouched_where_a_file_cannot_be_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tensors={"a": torch.ones(2)}, **SETTINGS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="what stood there is untouched"):
        write_checkpoint(tmp_path, tensors={"a": torch.zeros(2)}, beside={"no/such/folder.md": ""}, **SETTINGS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
