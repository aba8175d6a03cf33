"""A language model as a tower of texts: what cannot be one is refused by what it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.retrievers import write_bert
from safetensors.torch import load_file, save_file

from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.model.text_towers import load_text_tower


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("texts") / "bert")


@pytest.fixture
def damaged(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "bert"))


def test_the_architecture_decides_unless_a_kind_is_given(bert: Path, backbones: Path) -> None:
    assert load_text_tower(bert).origin.kind == "encoder"
    assert load_text_tower(backbones / "opt").origin.kind == "decoder"
    assert load_text_tower(backbones / "opt", kind="encoder").origin.kind == "encoder"
    with pytest.raises(ConfigError, match="must be one of decoder, encoder, not 'both'"):
        load_text_tower(bert, kind="both")


def test_weights_and_a_tokenizer_that_are_not_there_are_named(damaged: Path) -> None:
    weights = damaged / "model.safetensors"
    complete = load_file(weights)
    lost = "bert.encoder.layer.1.output.dense.bias"
    save_file({name: tensor for name, tensor in complete.items() if name != lost}, weights, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights in .* lack .*layer\.1\.output\.dense\.bias"):
        load_text_tower(damaged)
    weights.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"the text model in .*bert could not be loaded"):
        load_text_tower(damaged)
    save_file(complete, weights, metadata={"format": "pt"})
    for path in damaged.glob("*token*"):
        path.unlink()
    with pytest.raises(
        CheckpointError, match=r"the tokenizer in .*bert does not have any word of .*: is its tokenizer"
    ):
        load_text_tower(damaged)


def test_layers_learn_from_one_that_is_there(bert: Path) -> None:
    tower = load_text_tower(bert)
    assert tower.unfreeze(None) == set()
    with pytest.raises(ConfigError, match="text_frozen_below must be below the 3 layers read, not 3"):
        tower.unfreeze(3)
    learned = tower.unfreeze(2)
    assert {name.split(".")[3] for name in learned} == {"2"}
